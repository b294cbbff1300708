"""Asking Kafka for the workers' consumer group: who is in it, and how far it has committed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import CoordinationType
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import for_code
from aiokafka.protocol.coordination import FindCoordinatorRequest

from ops.doctor.kafka_facts import MISSING, BrokerFacts, GroupFacts, MemberFacts, PartitionId
from ops.doctor.kafka_wire import group_question, operations, refusal
from ops.kafka_admin import answering_node, ask
from streams.settings import Settings

_DESCRIBE_GROUPS = 15  # the request's key
_ELSEWHERE = {"NotCoordinatorForGroup", "GroupCoordinatorNotAvailable"}


async def ask_group(
    admin: AIOKafkaAdminClient,
    settings: Settings,
    partitions: Iterable[PartitionId],
    nodes: Sequence[int],
    brokers: Iterable[BrokerFacts],
    groups_topic: str,
) -> GroupFacts:
    """Everything Kafka tells of the group.

    Parameters
    ----------
    admin : AIOKafkaAdminClient
    settings : Settings
    partitions : iterable of PartitionId
        Of the input topics.
    nodes : sequence of int
        Of all brokers.
    brokers : iterable of BrokerFacts
        Of those that told.
    groups_topic : str
        What is refused about Kafka's topic of groups; empty if it is there to be seen.

    Raises
    ------
    NotImplementedError
        The brokers do not describe groups.
    KafkaError
        No coordinator answers.
    """
    if not all(_DESCRIBE_GROUPS in broker.apis for broker in brokers):
        raise NotImplementedError("the broker describes no groups")
    if groups_topic == MISSING:  # no group was ever here
        return GroupFacts()
    # Asked for a coordinator, a broker would create the topic of groups if it is not there.
    asked = nodes if groups_topic else [await _coordinator(admin, settings.group)]
    for node in asked:
        answer = await ask(admin, node, group_question(settings.group))
        group = answer.to_object()["groups"][0]
        if refusal(group) not in _ELSEWHERE:
            return await _described(admin, settings, node, partitions, group)
    return GroupFacts()


async def _coordinator(admin: AIOKafkaAdminClient, group: str) -> int:
    request = FindCoordinatorRequest(group, CoordinationType.GROUP)
    answer = await ask(admin, await answering_node(admin), request)
    if answer.error_code != 0:
        raise for_code(answer.error_code)(f"no coordinator for group {group}")
    return int(answer.coordinator_id)


async def _described(
    admin: AIOKafkaAdminClient,
    settings: Settings,
    coordinator: int,
    partitions: Iterable[PartitionId],
    group: Mapping[str, Any],
) -> GroupFacts:
    refused = refusal(group)
    committed: dict[PartitionId, int] = {}
    if not refused:
        wanted = [TopicPartition(topic, number) for topic, number in partitions]
        told = await admin.list_consumer_group_offsets(settings.group, coordinator, wanted)
        committed = {tuple(at): kept.offset for at, kept in told.items() if kept.offset >= 0}
    return GroupFacts(
        state=group["state"],
        members=tuple(
            MemberFacts(
                member["client_host"].removeprefix("/"),
                _assigned(member["member_assignment"], settings.transactions_topic),
            )
            for member in group["members"]
        ),
        operations=operations(group["authorized_operations"]),
        committed=committed,
        refused=refused,
    )


def _assigned(assignment: bytes, topic: str) -> tuple[int, ...]:
    """Partitions of a topic in a member's assignment."""
    if not assignment:  # in the middle of a rebalance
        return ()
    decoded = ConsumerProtocolMemberAssignment.decode(assignment)
    found = [numbers for name, numbers in decoded.assignment if name == topic]
    return tuple(sorted(number for numbers in found for number in numbers))
