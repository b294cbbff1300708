"""`everscore doctor`: is everything as it must be, how to mend what is not, and what is set."""

from __future__ import annotations

import logging
import textwrap
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from enum import StrEnum
from itertools import groupby
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Column, Table

from ops.api.settings import ApiSettings
from ops.cli.support import Exit, command, out, print_json, read_api_settings, read_settings
from ops.doctor.examine import examine
from ops.doctor.finding import Finding, Verdict
from ops.doctor.wording import counted
from ops.security.roles import Role
from streams.settings import Settings

_TITLES = {
    "kafka": "Kafka",
    "topic": "Topics",
    "redis": "Redis",
    "installation": "Installation",
    "progress": "Progress",
    "overrides": "Overrides",
    "clock": "Clocks",
    "permissions": "Permissions",
    "software": "Software",
}
_MARKS = {
    Verdict.OK: ("ok", "green"),
    Verdict.UNKNOWN: ("unknown", "cyan"),
    Verdict.WARNING: ("warn", "yellow"),
    Verdict.FAIL: ("FAIL", "bold red"),
}
_SUMMED = {
    Verdict.FAIL: ("failed", "failed"),
    Verdict.WARNING: ("warning", "warnings"),
    Verdict.UNKNOWN: ("unknown", "unknown"),
    Verdict.OK: ("ok", "ok"),
}
_MARK_CHARS, _LABEL_CHARS, _TEXT_CHARS_MIN = 10, 14, 40


class Who(StrEnum):
    """Whose permissions are checked."""

    WORKER = "worker"
    SUPPORT = "support"
    PRODUCER = "producer"
    READER = "reader"
    AUDITOR = "auditor"


@command
async def doctor(
    role: Annotated[Who, typer.Option(help="Whose permissions to check.")] = Who.WORKER,
    with_meaning: Annotated[
        bool, typer.Option("--settings", help="Say what each setting means.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Check Kafka, Redis and the installation, say how to mend what is wrong; print every setting.

    Changes nothing. Exit code 0: no check failed; 78: something is set wrong; 69: nothing is set
    wrong, but a server is away.
    """
    # A broker that is away is told once, by us.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    settings, of_api = read_settings(), read_api_settings()
    asking = nullcontext() if as_json or not out.is_terminal else out.status("asking …")
    with asking:
        findings = await examine(settings, Role(role.value))
    code = exit_code(findings)
    if as_json:
        print_json(
            {
                "ok": code is Exit.OK,
                "role": role.value,
                "checks": [_plain(finding) for finding in findings],
                "settings": {name: value for name, value, _, _ in _values(settings, of_api)},
            }
        )
    else:
        (_explain_settings if with_meaning else _show_settings)(_values(settings, of_api))
        for section, group in groupby(findings, key=lambda finding: finding.section):
            title = _TITLES[section]
            out.print()
            out.print(
                f"[bold]{title}[/]" + (f" of role {role}" if section == "permissions" else "")
            )
            for finding in group:
                _show(finding)
        out.print()
        out.print(_summary(findings), highlight=False)
    if code is not Exit.OK:
        raise typer.Exit(code)


def exit_code(findings: Sequence[Finding]) -> Exit:
    """What the process ends with."""
    failed = [finding for finding in findings if finding.verdict is Verdict.FAIL]
    if not failed:
        return Exit.OK
    return Exit.UNAVAILABLE if all(one.unreachable for one in failed) else Exit.CONFIG


def _plain(finding: Finding) -> dict[str, Any]:
    plain = {
        "name": finding.name,
        "verdict": finding.verdict.value,
        "found": finding.found,
        "mends": [asdict(mend) for mend in finding.mends],
        "values": dict(finding.values),
    }
    return plain | {"unreachable": finding.unreachable}


Value = tuple[str, Any, bool, str]
"""Variable, value, whether it is left to its default, and meaning."""


def _values(*several: Settings | ApiSettings) -> list[Value]:
    """Every setting."""
    return [
        (
            f"{type(settings).model_config['env_prefix']}{name.upper()}",
            getattr(settings, name),
            name not in settings.model_fields_set,
            field.description or "",
        )
        for settings in several
        for name, field in type(settings).model_fields.items()
    ]


def _show_settings(listed: list[Value]) -> None:
    """Every setting with its value: what is set here on lines of its own, the defaults drawn together."""
    out.print("[bold]Settings[/]")
    for variable, value, default, _ in listed:
        if not default:
            _line(f"  {variable}={_written(value)}")
    defaults = [f"{name}={'' if v is None else v}" for name, v, default, _ in listed if default]
    flow = f"by default: {', '.join(defaults)}"
    for line in textwrap.wrap(flow, out.width - 2, break_long_words=False, break_on_hyphens=False):
        _line(f"  [dim]{escape(line)}[/]")


def _explain_settings(listed: list[Value]) -> None:
    """Every setting with its value and meaning."""
    table = Table(Column("setting", no_wrap=True), "value", "meaning", box=None, pad_edge=False)
    for variable, value, default, meaning in listed:
        shown = _written(value)
        table.add_row(variable, shown if default else f"[bold]{shown}[/]", escape(meaning))
    out.print(table)


def _written(value: Any) -> str:
    return "" if value is None else escape(str(value))


def _show(finding: Finding) -> None:
    mark, style = _MARKS[finding.verdict]
    begin = " " * (_MARK_CHARS + _LABEL_CHARS)
    width = max(out.width - len(begin), _TEXT_CHARS_MIN)
    first, *rest = textwrap.wrap(finding.found, width, break_on_hyphens=False) or [""]
    label = finding.label.ljust(_LABEL_CHARS)
    _line(f"  [{style}]{mark.ljust(_MARK_CHARS - 2)}[/]{escape(label + first)}")
    for line in rest:
        _line(begin + escape(line))
    for mend in finding.mends:
        for number, line in enumerate(textwrap.wrap(mend.say, width - 2, break_on_hyphens=False)):
            _line(f"{begin}[dim]{'  ' if number else '→ '}[/]{escape(line)}")
        for run in mend.run:
            _line(f"{begin}  [bold]{escape(run)}[/]")


def _line(text: str) -> None:
    """One line as it is: a command that is cut in two cannot be pasted."""
    out.print(text, highlight=False, soft_wrap=True)


def _summary(findings: Sequence[Finding]) -> str:
    counts = Counter(finding.verdict for finding in findings)
    parts = [
        f"[{_MARKS[verdict][1]}]{counted(counts[verdict], *words)}[/]"
        for verdict, words in _SUMMED.items()
        if counts[verdict]
    ]
    failed = [finding.name for finding in findings if finding.verdict is Verdict.FAIL]
    return ", ".join(parts) + (f": {', '.join(failed)}" if failed else "")
