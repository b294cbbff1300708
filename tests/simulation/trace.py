"""What happened, in order: kept whole, so that the last events can be shown and two runs compared."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b


class Trace:
    """Events of one simulation, each with its moment.

    Parameters
    ----------
    clock : callable
        Seconds since the simulation began.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._events: list[tuple[float, str, str, object]] = []

    def add(self, who: object, what: str, detail: object = "") -> None:
        """Note an event; `detail` must not change afterwards."""
        self._events.append((self._clock(), str(who), what, detail))

    def lines(self, last: int | None = None) -> Iterator[str]:
        """All events, or the last so many, one line each."""
        for moment, who, what, detail in self._events[-last if last else 0 :]:
            yield f"{moment:9.4f}  {who:<9} {what} {detail}".rstrip()

    def digest(self) -> str:
        """The same for the same events."""
        return blake2b("\n".join(self.lines()).encode(), digest_size=8).hexdigest()

    @contextmanager
    def listening(self, who: Callable[[], object]) -> Iterator[None]:
        """Take in what the workers say in their log."""
        logger = logging.getLogger("everscore")
        handler = _Ear(self, who)
        before = logger.level, logger.propagate, logger.handlers[:]
        logger.handlers[:] = [handler]
        logger.setLevel(logging.INFO)
        logger.propagate = False
        try:
            yield
        finally:
            level, logger.propagate, logger.handlers[:] = before
            logger.setLevel(level)


class _Ear(logging.Handler):
    def __init__(self, trace: Trace, who: Callable[[], object]) -> None:
        super().__init__()
        self._trace = trace
        self._who = who

    def emit(self, record: logging.LogRecord) -> None:
        self._trace.add(self._who(), "says:", record.getMessage())
