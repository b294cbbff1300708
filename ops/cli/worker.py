"""`everscore worker`: count transactions until told to stop."""

from __future__ import annotations

import logging
from typing import Annotated

import faust
import typer

from ops.cli.support import command, read_settings
from state.redis_store import RedisStore
from streams.worker import build_app


@command
def worker(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say what is going on.")] = False,
) -> None:
    """Run one worker; as many as there are partitions may share the work."""
    settings = read_settings()
    logging.getLogger("everscore").setLevel(logging.INFO if verbose else logging.WARNING)
    app = build_app(settings, RedisStore(settings.redis, settings.keys))
    faust.Worker(
        app, loglevel="WARNING", quiet=True, redirect_stdouts=False, debug=False, workdir="."
    ).execute_from_commandline()
