"""`everscore key`: API keys, made once, shown once, revoked when they are to open nothing any more."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from ops.cli.support import command, err, out, print_json, read_api_settings
from schemas.errors import ConfigurationError

key = typer.Typer(help="API keys of `everscore serve`.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]


@key.command()
@command
def create(
    name: Annotated[str, typer.Argument(help="Whose it is; stands in the audit log.")],
    role: Annotated[str, typer.Option(help="reader, pii-reader, operator or admin.")] = "reader",
    days: Annotated[
        float | None, typer.Option(help="Until it expires; for ever without.", min=0.0)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and show it: this once, it is kept hashed."""
    from ops.api.keys import KeyFile, utc_now  # noqa: PLC0415 - an extra
    from ops.api.policy import Role  # noqa: PLC0415

    if role not in set(Role):
        raise ConfigurationError(f"{role!r} is no role.", hint=f"Roles are {', '.join(Role)}.")
    file = KeyFile(read_api_settings().keys)
    made, text = file.create(name, Role(role), now=utc_now(), days=days)
    if as_json:
        print_json({"id": made.id, "name": made.name, "role": made.role.value, "key": text})
        return
    err.print(f"Key {made.name!r}, role {made.role.value}; shown this once:", highlight=False)
    out.print(text, highlight=False, soft_wrap=True)


@key.command("ls")
@command
def list_keys(as_json: AsJson = False) -> None:
    """List keys: who, which role, since when; never the key."""
    from ops.api.keys import KeyFile, utc_now  # noqa: PLC0415 - an extra

    path = read_api_settings().keys
    ring = KeyFile(path).read()
    now = utc_now()
    keys = () if ring is None else ring.keys
    if as_json:
        print_json([one.model_dump(mode="json", exclude={"sha256"}) for one in keys])
        return
    table = Table("id", "name", "role", "made", "state", box=None, pad_edge=False)
    for one in keys:
        state = "valid" if one.is_valid(now) else "revoked" if one.revoked_at else "expired"
        if one.expires_at and state == "valid":
            state = f"until {one.expires_at:%Y-%m-%d %H:%M}"
        table.add_row(one.id, one.name, one.role.value, f"{one.created_at:%Y-%m-%d %H:%M}", state)
    out.print(table if keys else f"No keys in {path}. Make one: everscore key create NAME")


@key.command()
@command
def revoke(name: Annotated[str, typer.Argument(help="Name or id of the key.")]) -> None:
    """Make a key worthless; running servers know within a second."""
    from ops.api.keys import KeyFile, utc_now  # noqa: PLC0415 - an extra

    gone = KeyFile(read_api_settings().keys).revoke(name, now=utc_now())
    out.print(f"Key {gone.name!r} ({gone.id}) opens nothing any more.", highlight=False)
