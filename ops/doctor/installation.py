"""Checks of what may never change: partitions, time zone and currency of the installation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ops.doctor.finding import Finding, Mend, Problem, Verdict, gathered
from ops.doctor.kafka_facts import GroupFacts, KafkaFacts, TopicFacts
from ops.doctor.remedies import Remedies
from streams.settings import Settings


def check_partitions(
    facts: KafkaFacts, settings: Settings, installation: Mapping[str, str], remedies: Remedies
) -> Finding:
    """Whether both inputs have as many partitions as the installation was founded with."""
    first, second = (facts.topics[name] for name in settings.input_topics)
    counts = {topic.name: len(topic.partitions) for topic in (first, second)}
    founded = int(installation["partitions"]) if "partitions" in installation else None
    values = {"partitions": counts, "founded": founded}
    name = "installation.partitions"
    if not all(counts.values()):
        found = "not known while a topic is missing or hidden"
        return Finding(name, Verdict.UNKNOWN, found, values=values)
    problems = list(
        _partition_problems(first, second, founded, len(facts.nodes), settings, remedies)
    )
    since = "" if founded is None else ", as founded"
    found = f"{counts[first.name]} of {first.name} and of {second.name}{since}"
    return gathered(name, found, problems, values)


def _partition_problems(
    first: TopicFacts,
    second: TopicFacts,
    founded: int | None,
    brokers: int,
    settings: Settings,
    remedies: Remedies,
) -> Iterator[Problem]:
    ours, detour = len(first.partitions), len(second.partitions)
    if founded is not None and ours != founded:
        yield Problem(
            Verdict.FAIL,
            f"{first.name} has {ours}, but the installation was founded with {founded}: customers "
            "would be counted in a partition that is not theirs",
            Mend(
                "The count can never change; workers refuse to start. Restore the topic with "
                f"{founded}, or found a new installation, which counts everything from the start:",
                (
                    f"export EVERSCORE_KEY_PREFIX={settings.key_prefix}again: "
                    f"EVERSCORE_GROUP={settings.group}-again",
                ),
            ),
        )
    wanted = ours if founded is None else founded
    if detour in {ours, wanted}:
        return
    found = f"{second.name} has {detour}, {first.name} has {ours}: they must be equal"
    if detour < wanted:
        add = remedies.add_partitions(second.name, wanted)
        mend = Mend("Workers refuse to start. Add the rest, which is safe here:", (add,))
    else:
        mend = Mend(
            "Workers refuse to start. If it never held a record, make it anew; otherwise restore "
            f"it with {wanted}:",
            (remedies.delete_topic(second.name), remedies.create_topics(wanted, brokers)),
        )
    yield Problem(Verdict.FAIL, found, mend)


def check_installation(
    settings: Settings, installation: Mapping[str, str], group: GroupFacts | None
) -> Finding:
    """Whether the settings are those the installation was founded with.

    Parameters
    ----------
    settings : Settings
    installation : mapping of str to str
    group : GroupFacts, optional
        Of the workers: it shows whether some have counted before.
    """
    ours = {"timezone": settings.timezone, "currency": settings.currency}
    said = ", ".join(f"{name} {value}" for name, value in ours.items())
    name = "installation.settings"
    if not installation:
        counted = sum(group.committed.values()) if group is not None else 0
        emptied = Problem(
            Verdict.WARNING,
            f"none, though the workers of group {settings.group} have counted {counted:,} records",
            Mend(
                "Either EVERSCORE_REDIS or EVERSCORE_KEY_PREFIX names another place than then, or "
                "Redis was emptied: restore its backup, or let workers count everything again."
            ),
        )
        found = f"none yet; the first worker founds it for ever with {said}"
        return gathered(name, found, [emptied] if counted else [], {"founded": None, **ours})
    problems = [
        Problem(
            Verdict.FAIL,
            f"EVERSCORE_{fact.upper()}={value}, but the installation was founded with "
            f"{installation.get(fact)}",
            Mend(
                "Workers refuse to start. Set it back:",
                (f"export EVERSCORE_{fact.upper()}={installation.get(fact)}",),
            ),
        )
        for fact, value in ours.items()
        if installation.get(fact) != value
    ]
    return gathered(name, f"{said}, as founded", problems, {"founded": dict(installation), **ours})


def unreadable_installation(settings: Settings, why: str) -> Finding:
    """What is in the installation's keys, but not for us to read or not of our making."""
    mend = Mend(
        "If it is not for lack of permission, something else has written there. Keep keys apart by "
        f"EVERSCORE_KEY_PREFIX (now {settings.key_prefix!r}), or restore the backup of Redis."
    )
    return Finding("installation.settings", Verdict.FAIL, f"cannot be read: {why}", (mend,))
