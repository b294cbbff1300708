"""The report's part on scale: each question's rows, compared with its first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ops.bench.scale import Scaled

_MEANING = {
    "known": "The same purchases by the same thousand customers, among so many known ones who rest",
    "sweep": "One purchase a partition moves the clock, and silence moves the same number of customers, "
    "among so many",
    "cold": "One purchase each of many known customers",
    "rescore": "A new scorecard for customers who rest; `everscore verify` agreed with the end",
    "skew": "CDNOW as it is, and with a tenth of all purchases made by one customer",
    "workers": "The same job by one worker process and by two, on this one machine",
}


def scale_table(runs: Sequence[Scaled]) -> Iterator[str]:
    """All questions that were asked."""
    yield "## Scale"
    yield ""
    yield (
        "Everscore alone, one run each. CPU microseconds are per purchase, or per customer whom silence or "
        "the scorecard concerns; × is the worker's, by the question's first row."
    )
    yield ""
    for question in dict.fromkeys(run.question for run in runs):
        yield from _question(question, [run for run in runs if run.question == question])


def _question(question: str, runs: Sequence[Scaled]) -> Iterator[str]:
    yield f"{_MEANING[question]}:"
    yield ""
    yield (
        "| | count | a second | worker CPU µs | × | Redis CPU µs | worker MB | Redis bytes per customer | "
        "worker's cores at rest | p99 before and meanwhile, ms |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    first = runs[0].worker_us
    for run in runs:
        times = f"{run.worker_us / first:.2f}" if first > 0 else "–"
        cells = [
            run.row,
            f"{run.count:,}",
            f"{run.per_second:,.0f}",
            f"{run.worker_us:.1f}",
            times,
            f"{run.redis_us:.1f}",
            f"{run.worker_mb:.0f}",
            f"{run.redis_bytes:.0f}",
            f"{run.idle_cores:.2f}",
            "–" if run.p99_ms is None else f"{run.p99_ms[0]:.1f}, {run.p99_ms[1]:.1f}",
        ]
        yield f"| {' | '.join(cells)} |"
    yield ""
