"""Joins the API of an installation and serves it."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import uvicorn

from ops.api.app import build_app
from ops.api.audit import AuditLog
from ops.api.census import Census
from ops.api.changes_memory import ChangesMemory
from ops.api.follower import Follower
from ops.api.keys import KeyFile
from ops.api.metrics import Metrics
from ops.api.policy import read_policy
from ops.api.rate_limit import SharedRateLimit
from ops.api.service import Service
from ops.api.settings import ApiSettings
from ops.api.shared_file import SharedFile
from ops.api.view import pseudonym
from ops.api.watch import Watch
from ops.lookup import Lookup
from schemas.errors import ConfigurationError
from state.store import Store
from streams.settings import Settings

_GOODBYE_SECONDS = 3  # then open streams are cut; they resume elsewhere
_HEADER_BYTES_MAX = 32 * 1024
_KNOCKING_MAX = 1_024
_LOOK_SECONDS, _SET_ASIDE_SECONDS = 1.0, 3_600.0


async def serve(
    settings: Settings,
    own: ApiSettings,
    store: Store,
    ready: Callable[[str, int], None],
    place: Place | None = None,
) -> None:
    """Serve until told to stop.

    Parameters
    ----------
    settings : Settings
    own : ApiSettings
    store : Store
    ready : callable
        Is told host and port when connections are taken.
    place : Place, optional
        Among the processes that serve on one port.

    Raises
    ------
    ConfigurationError
        No keys, a policy that is none, or an address that cannot be listened on.
    """
    metrics = Metrics() if place is None else Metrics(place.metrics)
    lookup = Lookup(store, settings)
    memory = ChangesMemory(own.changes_max)
    follower = Follower(settings, memory, metrics)
    service = join(own, lookup, memory, metrics, Watch(lookup, follower.ends, metrics))
    if place is None:
        door = listen(own)
    else:
        shared = SharedFile(place.shared)
        service.limit = SharedRateLimit(shared)
        service.audit = AuditLog(own.audit, shared.alone)
        door = door_beside_others(own.host, own.port)
    app = build_app(
        service,
        [
            follower.run,
            service.census.run,
            service.watch.run,
            partial(service.dead_letters.run, settings),
            partial(_set_aside_when_read, service),
        ],
    )
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GOODBYE_SECONDS,
            h11_max_incomplete_event_size=_HEADER_BYTES_MAX,
        )
    )
    tell = partial(ready, own.host, door.getsockname()[1])
    if place is None:
        tell()  # whoever knocks is heard already
    else:
        server.when_started = tell  # among others nobody is heard by who cannot answer yet
    _set_aside()
    with door:
        await server.serve(sockets=[door])


def _set_aside() -> None:
    """What is here stays: looked through by every full garbage collection, it would be most of its pause."""
    gc.collect()
    gc.freeze()


async def _set_aside_when_read(service: Service) -> None:
    """The same for the customers and changes that are remembered, once all of them are."""
    await service.census.latest()
    while not service.changes.caught_up:
        await asyncio.sleep(_LOOK_SECONDS)
    _set_aside()
    await asyncio.sleep(_SET_ASIDE_SECONDS)


class _Server(uvicorn.Server):
    """A server that ends with code 0 when told to: uvicorn's own dies of the signal at last."""

    when_started: Callable[[], None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        if self.when_started is not None and self.started:
            self.when_started()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Listen to SIGINT and SIGTERM."""
        loop = asyncio.get_running_loop()
        told = (signal.SIGINT, signal.SIGTERM)
        for one in told:
            loop.add_signal_handler(one, self.handle_exit, one, None)
        try:
            yield
        finally:
            for one in told:
                loop.remove_signal_handler(one)


@dataclass(frozen=True, slots=True)
class Place:
    """What a process has in common with the others that serve on its port.

    Attributes
    ----------
    shared : int
        File descriptor of the `SharedFile` that holds the buckets of rates.
    metrics : Path
        Folder of everybody's numbers.
    """

    shared: int
    metrics: Path


def listen(own: ApiSettings) -> socket.socket:
    """Whoever knocks from now on is heard, if only when all is ready.

    Raises
    ------
    ConfigurationError
        The address cannot be listened on.
    """
    try:
        door = _door(own.host, own.port)
        door.listen(_KNOCKING_MAX)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {own.host}:{own.port}: {error.strerror}.",
            hint="Choose another: --port, or EVERSCORE_API_PORT.",
        ) from None
    return door


def door_beside_others(host: str, port: int) -> socket.socket:
    """A door of one process among several on a port, not open yet; the kernel spreads who knocks."""
    return _door(host, port, beside_others=True)


def _door(host: str, port: int, *, beside_others: bool = False) -> socket.socket:
    family, kind, *_, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    door = socket.socket(family, kind)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if beside_others:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    door.bind(address)
    return door


def join(
    own: ApiSettings, lookup: Lookup, memory: ChangesMemory, metrics: Metrics, watch: Watch
) -> Service:
    """A service of these parts, its keys and policy read."""
    keys = KeyFile(own.keys)
    if own.authentication and own.keys_later:
        keys.prepare()
    if own.authentication:
        _ = keys.pseudonym_secret  # says how to make a key where there is none
    service = Service(
        settings=own,
        policy=read_policy(own.policy),
        keys=keys,
        lookup=lookup,
        changes=memory,
        census=Census(
            lookup,
            lambda customer_id: bytes.fromhex(pseudonym(service.secret, customer_id)),
            own.census_seconds,
            own.census_customers_max,
            metrics,
        ),
        watch=watch,
        audit=AuditLog(own.audit),
        metrics=metrics,
    )
    return service
