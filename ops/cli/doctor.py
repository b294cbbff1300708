"""`everscore doctor`: are the servers there, is everything set as it must be, and what is set."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from ops.cli.support import Exit, command, open_store, out, print_json, read_settings
from schemas.errors import PipelineError
from streams.publisher import Publisher
from streams.settings import Settings


@command
async def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Check Kafka, Redis and the installation, and print every setting."""
    settings = read_settings()
    checks = [await _redis(settings), await _kafka(settings), await _installation(settings)]
    values = {
        f"EVERSCORE_{name.upper()}": getattr(settings, name) for name in Settings.model_fields
    }
    healthy = all(check["ok"] for check in checks)
    if as_json:
        print_json({"ok": healthy, "checks": checks, "settings": values})
    else:
        for check in checks:
            mark = "[green]ok[/]  " if check["ok"] else "[red]fail[/]"
            out.print(f"{mark} {check['name']}: {check['found']}", highlight=False)
        table = Table("setting", "value", "meaning", box=None, pad_edge=False)
        for name, field in Settings.model_fields.items():
            variable = f"EVERSCORE_{name.upper()}"
            table.add_row(variable, str(values[variable]), field.description or "")
        out.print()
        out.print(table)
    if not healthy:
        raise typer.Exit(Exit.UNAVAILABLE)


def _check(name: str, found: str, *, ok: bool) -> dict[str, Any]:
    return {"name": name, "ok": ok, "found": found}


async def _redis(settings: Settings) -> dict[str, Any]:
    try:
        async with open_store(settings) as store:
            await store.check()
    except PipelineError as error:
        return _check("redis", str(error), ok=False)
    return _check("redis", "answers, new enough, never evicts", ok=True)


async def _kafka(settings: Settings) -> dict[str, Any]:
    publisher = Publisher(settings)
    try:
        await publisher.start()
        counts = {topic: await publisher.partitions(topic) for topic in settings.input_topics}
    except PipelineError as error:
        return _check("kafka", str(error), ok=False)
    finally:
        await publisher.stop()
    found = ", ".join(f"{topic} has {count} partitions" for topic, count in counts.items())
    return _check("kafka", found, ok=len(set(counts.values())) == 1)


async def _installation(settings: Settings) -> dict[str, Any]:
    try:
        async with open_store(settings) as store:
            facts = await store.installation()
    except PipelineError as error:
        return _check("installation", str(error), ok=False)
    if not facts:
        return _check("installation", "none yet; the first worker founds it", ok=True)
    expected = {"timezone": settings.timezone, "currency": settings.currency}
    differing = {
        name: (facts[name], value) for name, value in expected.items() if facts.get(name) != value
    }
    if differing:
        return _check("installation", f"founded with other settings: {differing}", ok=False)
    return _check("installation", ", ".join(f"{k} {v}" for k, v in facts.items()), ok=True)
