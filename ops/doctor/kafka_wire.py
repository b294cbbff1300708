"""Questions to Kafka's brokers that aiokafka's admin client does not ask, as they go over the wire.

Owns their format, each in one version. No question here changes anything: none creates a topic, not
even on brokers that create what they are asked about.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import Any

from aiokafka.errors import IncompatibleBrokerVersion, for_code
from aiokafka.protocol.admin import DescribeGroupsResponse_v3
from aiokafka.protocol.api import RequestStruct, Response, ResponseHeader_v0
from aiokafka.protocol.types import (
    Array,
    Boolean,
    CompactArray,
    CompactString,
    Int8,
    Int16,
    Int32,
    Int64,
    Schema,
    String,
    TaggedFields,
)

_NEWEST = -3  # instead of a time: the record with the largest timestamp
# What we may do comes as bits, numbered as Kafka numbers its operations.
_OPERATIONS = {
    3: "READ", 4: "WRITE", 5: "CREATE", 6: "DELETE", 7: "ALTER", 8: "DESCRIBE",
    10: "DESCRIBE_CONFIGS", 11: "ALTER_CONFIGS",
}  # fmt: skip
_NOT_TOLD = -(2**31)

_TEXT: Any = String("utf-8")
_COMPACT: Any = CompactString("utf-8")
_TAGS = ("tags", TaggedFields)
_NO_TAGS: dict[int, bytes] = {}


class Question:
    """A request in the one version that we speak; aiokafka's connections send it as one of theirs.

    Parameters
    ----------
    request : type
        Made by `_request`.
    values : any
        Of its fields, in order.
    """

    def __init__(self, request: Any, *values: Any) -> None:
        self._request = request
        self._values = values

    def prepare(self, versions: Mapping[int, tuple[int, int]]) -> Any:
        """The request as it is sent to a broker that speaks these versions.

        Raises
        ------
        IncompatibleBrokerVersion
            Ours is not among them.
        """
        low, high = versions.get(self._request.API_KEY, (0, -1))
        if not low <= self._request.API_VERSION <= high:
            raise IncompatibleBrokerVersion(
                f"needs version {self._request.API_VERSION} of request {self._request.API_KEY}"
            )
        return self._request(*self._values)


def _answer(key: int, version: int, *fields: Any) -> Any:
    names = {"API_KEY": key, "API_VERSION": version, "SCHEMA": Schema(*fields)}
    return type(f"Answer{key}", (Response,), names)


def _request(answer: Any, *fields: Any, **more: Any) -> Any:
    names = {
        "API_KEY": answer.API_KEY,
        "API_VERSION": answer.API_VERSION,
        "RESPONSE_TYPE": answer,
        "SCHEMA": Schema(*fields),
    }
    return type(f"Request{answer.API_KEY}", (RequestStruct,), names | more)


_APIS = CompactArray(("key", Int16), ("min", Int16), ("max", Int16), _TAGS)
_VERSIONS = _request(
    _answer(18, 3, ("error_code", Int16), ("apis", _APIS), ("throttle_ms", Int32), _TAGS),
    ("software", _COMPACT),
    ("software_version", _COMPACT),
    _TAGS,
    FLEXIBLE_VERSION=True,
    # Alone among flexible answers it has the old header, for clients that ask too high.
    parse_response_header=lambda _self, buffer: ResponseHeader_v0.decode(buffer),
)
_FEATURES = CompactArray(("name", _COMPACT), ("first", Int16), ("second", Int16), _TAGS)

_PARTITIONS = Array(
    ("error_code", Int16),
    ("partition", Int32),
    ("leader", Int32),
    ("leader_epoch", Int32),
    ("replicas", Array(Int32)),
    ("in_sync", Array(Int32)),
    ("offline", Array(Int32)),
)
_TOPICS = Array(
    ("error_code", Int16),
    ("topic", _TEXT),
    ("is_internal", Boolean),
    ("partitions", _PARTITIONS),
    ("operations", Int32),
)
_METADATA = _request(
    _answer(
        3,
        8,
        ("throttle_ms", Int32),
        ("brokers", Array(("node", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT))),
        ("cluster_id", _TEXT),
        ("controller", Int32),
        ("topics", _TOPICS),
        ("operations", Int32),
    ),
    ("topics", Array(_TEXT)),
    ("create_topics", Boolean),
    ("tell_cluster_operations", Boolean),
    ("tell_topic_operations", Boolean),
)

# aiokafka pairs the request of this version with the answer of the one before.
_GROUPS = _request(
    DescribeGroupsResponse_v3, ("groups", Array(_TEXT)), ("tell_operations", Boolean)
)

_FOUND_OFFSETS = CompactArray(
    ("partition", Int32),
    ("error_code", Int16),
    ("timestamp", Int64),
    ("offset", Int64),
    ("leader_epoch", Int32),
    _TAGS,
)
_WANTED_OFFSETS = CompactArray(("partition", Int32), ("leader_epoch", Int32), ("at", Int64), _TAGS)
_OFFSETS = _request(
    _answer(
        2,
        7,
        ("throttle_ms", Int32),
        ("topics", CompactArray(("topic", _COMPACT), ("partitions", _FOUND_OFFSETS), _TAGS)),
        _TAGS,
    ),
    ("replica", Int32),
    ("isolation", Int8),
    ("topics", CompactArray(("topic", _COMPACT), ("partitions", _WANTED_OFFSETS), _TAGS)),
    _TAGS,
    FLEXIBLE_VERSION=True,
)


def versions_question() -> Question:
    """Which requests a broker speaks, and which features it supports and uses."""
    return Question(_VERSIONS, "everscore", "0", _NO_TAGS)


def features(answer: Any) -> tuple[dict[str, int], dict[str, int]]:
    """Highest levels of features by name, from the answer to `versions_question`.

    Returns
    -------
    tuple of dict and dict
        Supported by the broker's software; in use by the cluster.
    """
    tags = answer.tags
    supported = _FEATURES.decode(BytesIO(tags[0])) if 0 in tags else []
    in_use = _FEATURES.decode(BytesIO(tags[2])) if 2 in tags else []
    return (
        {name: high for name, _low, high, _ in supported},
        {name: high for name, high, _low, _ in in_use},
    )


def metadata_question(topics: Iterable[str]) -> Question:
    """Brokers, partitions of topics, and what we may do with them."""
    return Question(_METADATA, list(topics), False, True, True)


def group_question(group: str) -> Question:
    """Members of a consumer group, and what we may do with it; for its coordinator."""
    return Question(_GROUPS, [group], True)


def newest_question(partitions: Mapping[str, Iterable[int]]) -> Question:
    """The largest timestamp of each partition, for the broker that leads them."""
    wanted = [
        (topic, [(number, -1, _NEWEST, _NO_TAGS) for number in numbers], _NO_TAGS)
        for topic, numbers in partitions.items()
    ]
    return Question(_OFFSETS, -1, 0, wanted, _NO_TAGS)


def refusal(described: Mapping[str, Any]) -> str:
    """Kafka's name of the error that stands in for a topic or group; empty for none."""
    code = described["error_code"]
    return "" if code == 0 else for_code(code).__name__.removesuffix("Error")


def operations(bits: int) -> frozenset[str] | None:
    """What we may do, as `READ`; None where Kafka does not tell."""
    if bits == _NOT_TOLD:
        return None
    return frozenset(name for bit, name in _OPERATIONS.items() if bits & (1 << bit))
