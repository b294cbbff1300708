"""`everscore serve`: customers, segments and changes over HTTP."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from ops.cli.support import command, err, open_store, read_api_settings, read_settings


@command
async def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on. [127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on. [8080]")] = None,
) -> None:
    """Serve the API: read-only beside the workers, as many as you like."""
    settings = read_settings()
    own = read_api_settings(host=host, port=port)
    from ops.api.start import serve as serve_api  # noqa: PLC0415 - an extra, and slow to import

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    logging.getLogger("aiokafka").setLevel(
        logging.CRITICAL
    )  # we say once what it says twenty times
    async with open_store(settings) as store:
        await store.check()
        await serve_api(settings, own, store, ready=_say_where)


def _say_where(host: str, port: int) -> None:
    err.print(f"Serving at http://{host}:{port}/. Ctrl-C ends it.", highlight=False, soft_wrap=True)
