"""`everscore serve`: customers, segments and changes over HTTP."""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated

import typer

from ops.api.settings import PROCESSES_MAX, ApiSettings
from ops.cli.support import command, err, open_store, read_api_settings, read_settings
from streams.event_loops import use_fast_loops
from streams.settings import Settings


@command
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on. [127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on. [8080]")] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes",
            "--workers",
            min=1,
            max=PROCESSES_MAX,
            help="Processes that answer on the port: one for each core that is to spare. [1]",
        ),
    ] = None,
    one_of: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Serve the API: read-only beside the workers, as many as you like."""
    settings = read_settings()
    own = read_api_settings(host=host, port=port, processes=processes)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    logging.getLogger("aiokafka").setLevel(
        logging.CRITICAL
    )  # we say once what it says twenty times
    if one_of is None and own.processes > 1:
        asyncio.run(_serve_many(settings, own))
        return
    use_fast_loops()
    asyncio.run(
        _serve(settings, own) if one_of is None else _serve_among_others(settings, own, one_of)
    )


async def _serve(settings: Settings, own: ApiSettings) -> None:
    from ops.api.start import serve as serve_api  # noqa: PLC0415

    async with open_store(settings) as store:
        await store.check()
        await serve_api(settings, own, store, ready=_say_where)


async def _serve_many(settings: Settings, own: ApiSettings) -> None:
    from ops.api.processes import serve_many  # noqa: PLC0415

    async with open_store(settings) as store:
        await store.check()
    await serve_many(own, own.processes, _say_where)


async def _serve_among_others(settings: Settings, own: ApiSettings, one_of: str) -> None:
    from ops.api.processes import read_place  # noqa: PLC0415
    from ops.api.start import serve as serve_api  # noqa: PLC0415

    place, ready = read_place(one_of)
    async with open_store(settings) as store:
        await store.check()
        await serve_api(settings, own, store, ready, place)


def _say_where(host: str, port: int) -> None:
    err.print(f"Serving at http://{host}:{port}/. Ctrl-C ends it.", highlight=False, soft_wrap=True)
