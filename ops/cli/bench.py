"""`everscore bench`: the worker beside what one would use instead, or the API; checked by oracles."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from ops.cli.stack import fetch_kafka, read_stack_settings
from ops.cli.support import Exit, command, err, out
from ops.stack.at_hand import StackKind
from schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from ops.bench.api_suite import ApiPlan

# At the higher one the in-memory broker is what is measured.
_RATES = {StackKind.LOCAL: [2_000.0, 10_000.0], StackKind.EMBEDDED: [2_000.0]}
# Of the API's: some for before, and those that come while it is asked. In memory fewer are kept.
_API_PURCHASES = {StackKind.LOCAL: 200_000, StackKind.EMBEDDED: 69_659}
_API_COPIES = {StackKind.LOCAL: 3, StackKind.EMBEDDED: 1}
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
    api: Annotated[
        bool,
        typer.Option(
            "--api", help="The API under load instead: answers and live feed beside HGETALL."
        ),
    ] = False,
    requests: Annotated[
        float, typer.Option(help="Customers asked for a second, with --api.")
    ] = 500.0,
    processes: Annotated[
        list[int] | None, typer.Option(help="Of the API, with --api; several in turns. [1]")
    ] = None,
    engines: Annotated[
        Path | None, typer.Option(help="The Python that has Bytewax and Quix Streams. [this one]")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Where to. [ops/reports/bench.md or api.md, with -embedded]")
    ] = None,
) -> None:
    """Measure throughput, CPU, memory and latency of the worker and of what one would use instead."""
    # A benchmark needs what other commands do not: nobody waits for its imports but who asked for it.
    from ops.bench.api_suite import ApiPlan  # noqa: PLC0415
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
    if api:
        if stack is StackKind.LOCAL:
            fetch_kafka(machine)
        _bench_api(
            ApiPlan(
                kind=stack,
                job=make_job(_API_COPIES[stack] if copies is None else copies).spanning(
                    _API_PURCHASES[stack] if events is None else events
                ),
                machine=machine,
                runs=runs,
                rate=rate[0] if rate else _RATES[stack][0],
                requests=requests,
                processes=tuple(processes or (1,)),
                seconds=seconds,
            ),
            report,
        )
        return
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
    _publish(render(results, _again()), "bench", stack, report)
    if results.failures:
        raise typer.Exit(Exit.FAILED)


def _bench_api(plan: ApiPlan, report: Path | None) -> None:
    from ops.bench.api_report import render_api  # noqa: PLC0415
    from ops.bench.api_suite import run_api_suite  # noqa: PLC0415

    found = run_api_suite(plan, _say)
    _publish(render_api(found, _again()), "api", plan.kind, report)
    if found.failures:
        raise typer.Exit(Exit.FAILED)


def _publish(text: str, name: str, stack: StackKind, report: Path | None) -> None:
    path = report or _REPORTS / (f"{name}.md" if stack is StackKind.LOCAL else f"{name}-{stack}.md")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    out.print(text, markup=False, highlight=False, soft_wrap=True)


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
