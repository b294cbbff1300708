"""What Kafka says of itself, as plain values; nothing here is judged or asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PartitionId = tuple[str, int]
"""(topic, partition)"""


@dataclass(frozen=True, slots=True)
class BrokerFacts:
    """One broker's software.

    Attributes
    ----------
    node : int
    apis : mapping of int to int
        Highest version it speaks of each request, by the request's key.
    level, level_in_use : int, optional
        Of the feature metadata.version: the highest its software supports, and the cluster's.
    """

    node: int
    apis: Mapping[int, int]
    level: int | None = None
    level_in_use: int | None = None


@dataclass(frozen=True, slots=True)
class PartitionFacts:
    """One partition's copies: its leader's node (negative if it has none), all, and up to date."""

    leader: int
    replicas: int
    in_sync: int


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """One topic.

    Attributes
    ----------
    name : str
    refused : str
        Kafka's name of the error, if it says no more than that; empty otherwise.
    partitions : tuple of PartitionFacts
    settings : mapping of str to str, optional
        None where Kafka does not tell.
    operations : frozenset of str, optional
        What we may do, as `READ`; None where Kafka does not tell.
    """

    name: str
    refused: str = ""
    partitions: tuple[PartitionFacts, ...] = ()
    settings: Mapping[str, str | None] | None = None
    operations: frozenset[str] | None = None

    @property
    def missing(self) -> bool:
        """Whether there is no such topic, or none that we may know of."""
        return self.refused == MISSING


MISSING = "UnknownTopicOrPartition"
FORBIDDEN = "TopicAuthorizationFailed"


@dataclass(frozen=True, slots=True)
class LogFacts:
    """What one partition holds.

    Attributes
    ----------
    earliest, end : int
        Offset of the first record that is left, and of the next one to be written.
    newest_ms : int, optional
        Largest timestamp, milliseconds since 1970 UTC; None where there is none or Kafka is too
        old to tell.
    """

    earliest: int
    end: int
    newest_ms: int | None = None


@dataclass(frozen=True, slots=True)
class MemberFacts:
    """One member of the workers' group and the partitions of `transactions` it reads."""

    host: str
    partitions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """The workers' consumer group.

    Attributes
    ----------
    state : str
        Kafka's word; empty for a group that never was.
    members : tuple of MemberFacts
    operations : frozenset of str, optional
        What we may do with it; None where Kafka does not tell.
    committed : mapping of PartitionId to int
        Offsets that workers told Kafka, of those inputs for which they did: advice to us, but a
        trace of what was counted.
    refused : str
        Kafka's name of the error, if it says no more than that.
    """

    state: str = ""
    members: tuple[MemberFacts, ...] = ()
    operations: frozenset[str] | None = None
    committed: Mapping[PartitionId, int] = field(default_factory=dict)
    refused: str = ""


@dataclass(frozen=True, slots=True)
class KafkaFacts:
    """Everything that was asked, as far as it was answered.

    Attributes
    ----------
    milliseconds : float
        From opening a connection to having it.
    silent_addresses : mapping of str to str
        Of the bootstrap servers, those that do not let us in, and why.
    cluster_id : str, optional
    nodes : tuple of int
        Of the brokers.
    asked_nodes : tuple of int
        Those that were asked for themselves: of a large cluster, some.
    brokers : tuple of BrokerFacts
        Those that answered.
    settings : mapping of str to str, optional
        Of one broker.
    topics : mapping of str to TopicFacts
    logs : mapping of PartitionId to LogFacts, optional
        Of the input topics.
    asked_ms : int
        Our clock when they had been asked, milliseconds since 1970 UTC.
    group : GroupFacts, optional
    silent : mapping of str to str
        Why a field is None, by its name.
    """

    milliseconds: float = 0.0
    silent_addresses: Mapping[str, str] = field(default_factory=dict)
    cluster_id: str | None = None
    nodes: tuple[int, ...] = ()
    asked_nodes: tuple[int, ...] = ()
    brokers: tuple[BrokerFacts, ...] = ()
    settings: Mapping[str, str | None] | None = None
    topics: Mapping[str, TopicFacts] = field(default_factory=dict)
    logs: Mapping[PartitionId, LogFacts] | None = None
    asked_ms: int = 0
    group: GroupFacts | None = None
    silent: Mapping[str, str] = field(default_factory=dict)

    def why_silent(self, name: str) -> str:
        """The reason why a field is None."""
        return self.silent.get(name, "it was not asked")
