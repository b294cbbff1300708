"""Checks of our topics against what is declared, and what a difference would cost."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ops.doctor.copies import judge_copies
from ops.doctor.finding import Finding, Mend, Problem, Verdict, gathered
from ops.doctor.kafka_facts import FORBIDDEN, KafkaFacts, TopicFacts
from ops.doctor.remedies import Remedies
from ops.doctor.wording import counted, size, span
from ops.stack.topics import Difference, Topic, declared_topics, differences
from streams.settings import Settings

_PARTITIONS_ADVISED = 4  # where nothing says yet how many
_FOR_EVER = "-1"
_RETENTION = {"retention.ms", "retention.bytes"}
_BYTES, _SEGMENT = "max.message.bytes", "segment.bytes"

# By the setting that names the topic; what each is called for machines.
TOPIC_FIELDS = {
    "transactions_topic": "transactions",
    "rekeyed_topic": "rekeyed",
    "changes_topic": "changes",
    "dead_letter_topic": "dead-letter",
    "scorecards_topic": "scorecards",
    "samples_topic": "samples",
    "journal_topic": "journal",
}
_INPUTS = {"transactions", "rekeyed"}
# What may not be lost, of which topic, and why.
_KEPT = {
    "transactions": "purchases",
    "rekeyed": "purchases",
    "journal": "marks",
}
_WHY = {
    "purchases": "They are the truth: without them a lost Redis cannot be rebuilt, nor anything "
    "verified.",
    "marks": "Without them, a Redis that lost its tail tells another history than before.",
}
_SHOWN = {"cleanup.policy", "retention.ms", _BYTES, "message.timestamp.type", "min.insync.replicas"}


def check_topics(
    facts: KafkaFacts,
    settings: Settings,
    installation: Mapping[str, str],
    remedies: Remedies,
    kinds: Collection[str] = tuple(TOPIC_FIELDS.values()),
) -> Iterator[Finding]:
    """One finding a topic.

    Parameters
    ----------
    facts : KafkaFacts
    settings : Settings
    installation : mapping of str to str
        What was fixed when it was founded; empty before.
    remedies : Remedies
    kinds : collection of str
        Topics of interest.
    """
    transactions = facts.topics[settings.transactions_topic]
    there = len(transactions.partitions) or _PARTITIONS_ADVISED
    partitions = int(installation.get("partitions", there))
    declared = {topic.name: topic for topic in declared_topics(settings, partitions)}
    largest = int((transactions.settings or {}).get(_BYTES) or 0)
    for setting, kind in TOPIC_FIELDS.items():
        found = facts.topics[getattr(settings, setting)]
        if kind not in kinds:
            continue
        brokers = len(facts.nodes)
        said = _visible(kind, found, partitions, brokers, remedies)
        if said is None:
            problems = [
                *judge_copies(found, brokers, remedies),
                *_judge_settings(kind, facts, found, declared[found.name], largest, remedies),
                *(_gone(facts, found) if kind in _INPUTS else ()),
                *_judge_count(kind, found, partitions, brokers, remedies),
            ]
            values = _values(found, declared[found.name])
            said = gathered(f"topic.{kind}", _described(kind, found), problems, values)
        yield said


def _visible(
    kind: str, found: TopicFacts, partitions: int, brokers: int, remedies: Remedies
) -> Finding | None:
    """What is to be said of a topic that is not there, or not for us to see."""
    name, values = f"topic.{kind}", {"topic": found.name}
    if found.missing:
        create = remedies.create_topics(partitions, brokers)
        mend = Mend("Create what is missing, as one who may:", (create,))
        said = f"there is no topic {found.name!r}"
        return Finding(name, Verdict.FAIL, said, (mend,), values)
    if found.refused == FORBIDDEN:
        said = f"{found.name!r} is not for us to see; see our permissions"
        return Finding(name, Verdict.UNKNOWN, said, values=values)
    if found.refused:
        said = f"{found.name!r}: {found.refused}"
        return Finding(name, Verdict.UNKNOWN, said, values=values)
    return None


def _values(found: TopicFacts, declared: Topic) -> dict[str, Any]:
    told = found.settings or {}
    shown = sorted(_SHOWN | set(declared.settings))
    return {
        "topic": found.name,
        "partitions": len(found.partitions),
        "copies": min((part.replicas for part in found.partitions), default=0),
        "settings": {name: told[name] for name in shown if name in told},
    }


def _described(kind: str, found: TopicFacts) -> str:
    """A topic that is as it must be, in a few words."""
    told = found.settings or {}
    words = [counted(len(found.partitions), "partition")]
    copies = min((part.replicas for part in found.partitions), default=0)
    if copies > 1:
        words.append(counted(copies, "copy", "copies"))
    words.append(_kept(told))
    if kind in _INPUTS:
        words.append(f"records up to {size(int(told.get(_BYTES) or 0))}")
        by = "brokers" if told.get("message.timestamp.type") == "LogAppendTime" else "producers"
        words.append(f"stamped by {by}")
    return ", ".join(words)


def _kept(told: Mapping[str, str | None]) -> str:
    if "compact" in (told.get("cleanup.policy") or ""):
        return "compacted"
    kept = told.get("retention.ms") or "0"
    return "kept for ever" if kept == _FOR_EVER else f"kept {span(int(kept) / 1000)}"


def _judge_settings(
    kind: str,
    facts: KafkaFacts,
    found: TopicFacts,
    declared: Topic,
    largest: int,
    remedies: Remedies,
) -> Iterator[Problem]:
    if found.settings is None:
        yield Problem(
            Verdict.UNKNOWN,
            f"{counted(len(found.partitions), 'partition')}; settings not known: "
            + facts.silent.get("topic_settings", "we may not ask for them"),
        )
        return
    for one in differences(declared, declared.partitions, found.settings):
        if not one.found:
            yield Problem(Verdict.UNKNOWN, f"{one.setting} is not told")
        elif (judged := _judged(kind, one, largest)) is not None:
            verdict, meaning, advice = judged
            command = remedies.set_topic(one.topic, {one.setting: one.declared})
            mend = Mend(advice, (command,))
            yield Problem(verdict, f"{one.setting}={one.found}: {meaning}", mend)


def _judge_count(
    kind: str, found: TopicFacts, partitions: int, brokers: int, remedies: Remedies
) -> Iterator[Problem]:
    """Partitions of what is read by number; the inputs' are looked at together."""
    count = len(found.partitions)
    if kind == "journal" and count < partitions:
        add = remedies.add_partitions(found.name, partitions)
        yield Problem(
            Verdict.FAIL,
            f"{counted(count, 'partition')}, but each of {partitions} writes to its own",
            Mend("Workers wait for the rest. Add it, which is safe here:", (add,)),
        )
    if kind == "scorecards" and count > 1:
        yield Problem(
            Verdict.WARNING,
            f"{count} partitions, of which the first alone is read back",
            Mend(
                "Before the first worker starts, make it anew:",
                (remedies.delete_topic(found.name), remedies.create_topics(partitions, brokers)),
            ),
        )


def _gone(facts: KafkaFacts, found: TopicFacts) -> Iterator[Problem]:
    logs = facts.logs or {}
    gone = sum(log.earliest for (topic, _), log in logs.items() if topic == found.name)
    if gone:
        yield Problem(
            Verdict.WARNING,
            f"its first {counted(gone, 'record')} are gone",
            Mend("Redis is now the only place that knows of them: back it up."),
        )


Judgement = tuple[Verdict, str, str]
"""Verdict, what the difference means, and what to do about it."""


def _judged(kind: str, one: Difference, largest: int) -> Judgement | None:
    """None where the difference does not matter."""
    if one.setting == _BYTES:
        return _judged_size(kind, int(one.found), int(one.declared), largest)
    if one.setting in _RETENTION:
        return _judged_retention(kind, one)
    if one.setting == _SEGMENT:
        return _judged_segment(int(one.found), int(one.declared))
    return _judged_policy(kind, one)


def _judged_retention(kind: str, one: Difference) -> Judgement:
    limit = int(one.found)
    kept = span(limit / 1000) if one.setting == "retention.ms" else size(limit)
    what = _KEPT.get(kind)
    if what is None:
        return Verdict.WARNING, f"it forgets after {kept}", "Keep them until they are mended:"
    return Verdict.FAIL, f"Kafka deletes {what} after {kept}", f"{_WHY[what]} Keep them:"


def _judged_segment(found: int, declared: int) -> Judgement | None:
    if found <= declared:
        return None
    return (
        Verdict.WARNING,
        f"whoever begins to learn reads up to {size(found)} of old reports",
        "Have it compacted sooner:",
    )


def _judged_policy(kind: str, one: Difference) -> Judgement:
    what = _KEPT.get(kind)
    if what is not None:
        last = "each customer" if what == "purchases" else "each partition"
        return (
            Verdict.FAIL,
            f"Kafka keeps the last of the {what} of {last} only",
            f"{_WHY[what]} What is compacted already is gone; from now on:",
        )
    if one.declared == "delete":
        return Verdict.WARNING, "one letter a customer survives", "Keep them all:"
    if kind == "scorecards":
        return (
            Verdict.FAIL,
            "scorecards in use may be deleted by age",
            "A Redis that lost its tail takes them from here. Keep the last of each version:",
        )
    return (
        Verdict.WARNING,
        "the learner's sample may be deleted by age, or pile up",
        "The last of each customer is what counts:",
    )


def _judged_size(kind: str, found: int, declared: int, largest: int) -> Judgement | None:
    if found >= declared:
        return None
    if kind == "transactions":
        return (
            Verdict.WARNING,
            f"it takes records up to {size(found)}, less than EVERSCORE_RECORD_BYTES_MAX allows",
            "Producers of larger ones are refused. Let them in:",
        )
    if kind == "dead-letter" and found > largest:
        return (
            Verdict.WARNING,
            f"a compressed record that unpacks to more than {size(found)} holds up its partition",
            "Let it in:",
        )
    what = "a record that must go home" if kind == "rekeyed" else "a dead letter"
    return (
        Verdict.FAIL,
        f"it takes {size(found)} at most; {what} may be larger, and then its partition stands still",
        "Let them in:",
    )
