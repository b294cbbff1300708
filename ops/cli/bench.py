"""`everscore bench`: the worker beside what one would use instead, checked by oracles."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ops.cli.stack import fetch_kafka, read_stack_settings
from ops.cli.support import Exit, command, err, out
from ops.stack.at_hand import StackKind
from schemas.errors import ConfigurationError

# At the higher one the in-memory broker is what is measured.
_RATES = {StackKind.LOCAL: [2_000.0, 10_000.0], StackKind.EMBEDDED: [2_000.0]}
_REPORTS = Path(__file__).parents[1] / "reports"


@command
def bench(
    stack: Annotated[
        StackKind, typer.Option(help="A real Kafka, or the one in memory.")
    ] = StackKind.LOCAL,
    copies: Annotated[
        int | None, typer.Option(help="Customers made of each of CDNOW's. [8; in memory 1]")
    ] = None,
    events: Annotated[
        int | None, typer.Option(help="Only the first so many purchases; for a look.")
    ] = None,
    runs: Annotated[int, typer.Option(help="Rounds: every contender once in each.")] = 5,
    only: Annotated[
        list[str] | None, typer.Option(help="These contenders; all by default.")
    ] = None,
    rate: Annotated[
        list[float] | None,
        typer.Option(help="Purchases a second, for the latency. [2000 and, real, 10000; 0: none]"),
    ] = None,
    seconds: Annotated[float, typer.Option(help="Of each latency run.")] = 20.0,
    throughput: Annotated[bool, typer.Option(help="Measure it.")] = True,
    scale: Annotated[
        list[str] | None,
        typer.Option(
            help="A question of scale: known, sweep, cold, rescore, skew, workers, or all."
        ),
    ] = None,
    size: Annotated[
        list[int] | None,
        typer.Option(help="Known customers, for these, ascending. [1000, 100000, 1000000]"),
    ] = None,
    engines: Annotated[
        Path | None, typer.Option(help="The Python that has Bytewax and Quix Streams. [this one]")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Where to. [ops/reports/bench.md, bench-embedded.md]")
    ] = None,
) -> None:
    """Measure throughput, CPU, memory and latency of the worker and of what one would use instead."""
    # A benchmark needs what other commands do not: nobody waits for its imports but who asked for it.
    from ops.bench.contenders import Engines, choose  # noqa: PLC0415
    from ops.bench.job import COPIES, make_job  # noqa: PLC0415
    from ops.bench.report import render  # noqa: PLC0415
    from ops.bench.scale import SIZES  # noqa: PLC0415
    from ops.bench.scale_jobs import QUESTIONS  # noqa: PLC0415
    from ops.bench.suite import Plan, run_suite  # noqa: PLC0415

    if stack is StackKind.DOCKER:
        raise ConfigurationError(
            "--stack docker: CPU seconds in containers are not the benchmark's to count.",
            hint="Use --stack local or --stack embedded.",
        )
    machine = read_stack_settings()
    contenders = choose(only or ())
    python = Engines(engines)
    away = python.without(contenders)
    for contender in away:
        _say(
            f"{contender.name} is left out: {contender.engine} is not installed; `make bench` does it"
        )
    real = [c for c in contenders if c.needs_real_kafka and stack is StackKind.EMBEDDED]
    for contender in real:
        _say(f"{contender.name} is left out: it needs a broker that creates topics")
    if stack is StackKind.LOCAL:
        fetch_kafka(machine)
    wanted = _RATES[stack] if rate is None else rate
    rates = [each for each in wanted if each > 0]
    usual = 1 if stack is StackKind.EMBEDDED else COPIES
    job = make_job(usual if copies is None else copies, events)
    plan = Plan(
        kind=stack,
        job=job,
        contenders=[c for c in contenders if c not in away and c not in real],
        engines=python,
        machine=machine,
        runs=runs,
        rates=rates,
        seconds=seconds,
        throughput=throughput,
        scale=tuple(QUESTIONS) if "all" in (scale or ()) else tuple(scale or ()),
        sizes=tuple(size or SIZES),
    )
    results = run_suite(plan, _say)
    text = render(results, _again())
    name = "bench.md" if stack is StackKind.LOCAL else f"bench-{stack}.md"
    path = report or _REPORTS / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    out.print(text, markup=False, highlight=False, soft_wrap=True)
    if results.failures:
        raise typer.Exit(Exit.FAILED)


def _say(what: str) -> None:
    err.print(escape(what), highlight=False, soft_wrap=True)


def _again() -> str:
    """The command as it was given, but for what the Makefile and the report's place add."""
    words = sys.argv[2:]
    for name in ("--engines", "--report"):
        if name in words:
            at = words.index(name)
            del words[at : at + 2]
    return f"make bench ARGS={shlex.quote(' '.join(words))}" if words else "make bench"
