"""Change events: the id, the CloudEvents headers, and that what is rendered keeps the contract."""

from __future__ import annotations

import json
from datetime import datetime
from uuid import RFC_4122, UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.change import (
    Cause,
    ChangeEvent,
    ChangeType,
    Lifecycle,
    change_ids,
    cloud_event_headers,
)
from tests.support.purchases import Purchase, Run

NAMESPACE = UUID("5e0c1b1e-6f0b-5d0c-9a5e-37a1c3f1d0aa")


@given(st.lists(st.text()))
def test_ids_are_the_uuid5_of_their_identities(identities):
    expected = [uuid5(NAMESPACE, identity) for identity in identities]
    assert change_ids([identity.encode() for identity in identities]) == [
        str(uuid).encode() for uuid in expected
    ]
    assert all(uuid.version == 5 and uuid.variant == RFC_4122 for uuid in expected)


@given(st.text(), st.text())
def test_two_changes_share_an_id_only_if_they_are_the_same(one, other):
    first, second = change_ids([one.encode(), other.encode()])
    assert (first == second) == (one == other)


def test_id_never_changes_between_versions_of_this_program():
    (found,) = change_ids([f"{ChangeType.SEGMENT}\nx".encode()])
    assert found == b"2a576471-37e7-596a-9294-19db4276bc9a"


def test_headers_are_those_of_the_kafka_binding_in_binary_mode():
    headers = cloud_event_headers(
        ChangeType.LIFECYCLE,
        source="/shop",
        subject="Zoë".encode(),
        time=b"1997-01-01T00:00:00Z",
        change_id=b"2a576471",
    )
    assert headers == [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"2a576471"),
        ("ce_type", b"everscore.lifecycle.changed.v1"),
        ("ce_source", b"/shop"),
        ("ce_subject", "Zoë".encode()),
        ("ce_time", b"1997-01-01T00:00:00Z"),
        ("content-type", b"application/json"),
    ]


async def rendered():
    """Messages of a customer who buys, falls silent, buys late, and of one who takes all back."""
    run = await Run(1).start()
    purchases = [
        Purchase("Zoë", 10_000, 1_999, "t1"),
        Purchase("gone", 10_000, 500, "t2"),
        Purchase("gone", 10_000, 9_000, "t3", "refund"),
        Purchase("Zoë", 11_000, 2_999, "t6"),
        Purchase("Zoë", 10_900, 2_999, "t7"),
        Purchase("Zoë", 11_001, 100, "t8", "refund"),
        Purchase("later", 12_000, 100, "t9"),
    ]
    await run.feed(purchases, 2)
    await run.sweep()
    topic = run.settings.changes_topic
    return [message for message in run.published if message.topic == topic]


async def test_every_rendered_body_keeps_the_contract_to_the_field():
    messages = await rendered()
    events = [ChangeEvent.model_validate_json(message.value) for message in messages]
    assert {event.cause for event in events} >= {Cause.TRANSACTION, Cause.SILENCE, Cause.REFUND}
    assert any(event.previous is None for event in events)
    assert any(event.current is None and event.margin is None for event in events)
    assert any(event.next_review is None for event in events)
    for message, event in zip(messages, events, strict=True):
        assert list(json.loads(message.value)) == list(ChangeEvent.model_fields)
        assert event.occurred_at.utcoffset().total_seconds() == 0
        if event.next_review is not None:
            assert event.next_review.at >= event.occurred_at
            assert event.next_review.segment or event.next_review.lifecycle


async def test_rendered_headers_agree_with_key_and_body():
    messages = await rendered()
    assert messages
    for message in messages:
        headers, body = dict(message.headers), json.loads(message.value)
        assert headers["ce_subject"] == message.key == body["customer_id"].encode()
        assert headers["ce_time"].decode() == body["occurred_at"]
        assert headers["ce_source"] == b"/everscore"
        is_lifecycle = headers["ce_type"] == b"everscore.lifecycle.changed.v1"
        names = {body["previous"], body["current"]} - {None}
        assert (names <= set(Lifecycle)) == is_lifecycle
    assert len({dict(message.headers)["ce_id"] for message in messages}) == len(messages)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sequence", 0),
        ("prob_alive", 1.1),
        ("silence_days", -1),
        ("cause", "boredom"),
        ("rfm", None),
    ],
)
async def test_body_outside_the_contract_is_refused(field, value):
    body = json.loads((await rendered())[0].value)
    assert datetime.fromisoformat(ChangeEvent.model_validate(body).occurred_at.isoformat())
    with pytest.raises(ValidationError, match=field):
        ChangeEvent.model_validate(body | {field: value})
