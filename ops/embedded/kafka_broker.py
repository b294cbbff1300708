"""Apache Kafka's protocol in memory: the broker that librdkafka carries for its own tests.

Owns the broker's life and its topics. It runs in threads of this process and forgets everything
when it stops; per partition it keeps the last 5 MB or 100,000 records, whichever is less, and an
idle fetch waits out its whole time. For demos and tests, never for data that matters.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from schemas.errors import ConfigurationError

_PRODUCER = 0  # rd_kafka_type_t: the mock cluster hangs on a client handle, of either kind
_ERROR_CHARS = 512
_TOPIC_EXISTS = 36
_INSTALL_HINT = "Install the extra: pip install 'everscore[embedded]'."

_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "rd_kafka_conf_new": (ctypes.c_void_p, []),
    "rd_kafka_conf_set_log_cb": (None, [ctypes.c_void_p, ctypes.c_void_p]),
    "rd_kafka_new": (
        ctypes.c_void_p,
        [ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t],
    ),
    "rd_kafka_destroy": (None, [ctypes.c_void_p]),
    "rd_kafka_mock_cluster_new": (ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_int]),
    "rd_kafka_mock_cluster_destroy": (None, [ctypes.c_void_p]),
    "rd_kafka_mock_cluster_bootstraps": (ctypes.c_char_p, [ctypes.c_void_p]),
    "rd_kafka_mock_topic_create": (
        ctypes.c_int,
        [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int],
    ),
    "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [ctypes.c_void_p, ctypes.c_int32]),
}


def _library() -> ctypes.CDLL:
    """The confluent-kafka wheel's librdkafka, with argument types declared."""
    try:
        from confluent_kafka import cimpl  # noqa: PLC0415 - an optional dependency

        # The extension module links to librdkafka, so its handle resolves librdkafka's symbols
        # on every platform; the bundled file's own name changes from wheel to wheel.
        library = ctypes.CDLL(cimpl.__file__)
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (ImportError, OSError, AttributeError) as error:
        raise ConfigurationError(
            f"The in-memory Kafka broker is not available: {error}.", hint=_INSTALL_HINT
        ) from error
    return library


class EmbeddedKafka:
    """One in-memory Kafka broker on a free port of 127.0.0.1.

    Parameters
    ----------
    topics : mapping of str to int
        Topics to create at the start, with their partition counts. Any other topic appears with
        four partitions when a client first asks for it.

    Raises
    ------
    ConfigurationError
        At `start`: the confluent-kafka wheel is missing or carries no mock broker.
    """

    def __init__(self, topics: Mapping[str, int] | None = None) -> None:
        self._topics = dict(topics or {})
        self._library: ctypes.CDLL | None = None
        self._client: int | None = None
        self._cluster: int | None = None

    @property
    def bootstrap(self) -> str:
        """`host:port` for clients."""
        library, cluster = self._running()
        address: bytes = library.rd_kafka_mock_cluster_bootstraps(cluster)
        return address.decode()

    def start(self) -> Self:
        """Start the broker and create its topics."""
        library = _library()
        configuration = library.rd_kafka_conf_new()
        library.rd_kafka_conf_set_log_cb(configuration, None)  # or it reports itself on stderr
        error = ctypes.create_string_buffer(_ERROR_CHARS)
        client = library.rd_kafka_new(_PRODUCER, configuration, error, _ERROR_CHARS)
        if not client:
            raise ConfigurationError(f"librdkafka refused to start: {error.value.decode()}")
        self._library, self._client = library, client
        self._cluster = library.rd_kafka_mock_cluster_new(client, 1)
        if not self._cluster:
            self.stop()
            raise ConfigurationError("librdkafka could not open the in-memory broker's port.")
        # A real broker waits three seconds for more members before a new group's first assignment.
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        for name, partitions in self._topics.items():
            self.create_topic(name, partitions)
        return self

    def create_topic(self, name: str, partitions: int) -> None:
        """Create a topic; creating it again changes nothing.

        Parameters
        ----------
        name : str
            Topic name.
        partitions : int
            At least 1.

        Raises
        ------
        ConfigurationError
            The broker refuses the name or the count.
        """
        library, cluster = self._running()
        if partitions < 1:  # librdkafka would take it
            raise ConfigurationError(f"Topic {name!r} cannot have {partitions} partitions.")
        code = library.rd_kafka_mock_topic_create(cluster, name.encode(), partitions, 1)
        if code not in (0, _TOPIC_EXISTS):
            raise ConfigurationError(
                f"The in-memory broker refused topic {name!r} (librdkafka error {code})."
            )

    def stop(self) -> None:
        """Stop the broker; its records are gone. Stopping twice is harmless."""
        library, cluster, client = self._library, self._cluster, self._client
        self._library = self._cluster = self._client = None
        if library is not None and cluster:
            library.rd_kafka_mock_cluster_destroy(cluster)
        if library is not None and client:
            library.rd_kafka_destroy(client)

    def _running(self) -> tuple[ctypes.CDLL, int]:
        if self._library is None or self._cluster is None:
            raise ConfigurationError("The in-memory Kafka broker is not running.")
        return self._library, self._cluster

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
