"""Checks of a topic's copies: are there enough, are they up to date, does anybody lead them."""

from __future__ import annotations

from collections.abc import Iterator

from ops.doctor.finding import Mend, Problem, Verdict
from ops.doctor.kafka_facts import TopicFacts
from ops.doctor.remedies import Remedies
from ops.doctor.wording import counted, ranges


def judge_copies(found: TopicFacts, brokers: int, remedies: Remedies) -> Iterator[Problem]:
    """What is wrong with a topic's copies.

    Parameters
    ----------
    found : TopicFacts
    brokers : int
        Of the cluster; one broker alone is a problem of its own, told once.
    remedies : Remedies
    """
    parts = list(enumerate(found.partitions))
    describe = remedies.describe_topic(found.name)
    headless = [number for number, part in parts if part.leader < 0]
    if headless:
        yield Problem(
            Verdict.FAIL,
            f"no leader for partition {ranges(headless)}: nothing goes in or out",
            Mend("Start the brokers that hold them:", (describe,)),
            unreachable=True,
        )
    copies = min((part.replicas for _, part in parts), default=1)
    told = (found.settings or {}).get("min.insync.replicas")
    asked = int(told or 1)
    lower = remedies.set_topic(found.name, {"min.insync.replicas": str(max(copies - 1, 1))})
    if copies < asked:
        yield Problem(
            Verdict.FAIL,
            f"min.insync.replicas={asked}, but {counted(copies, 'copy', 'copies')}: it takes no "
            "record",
            Mend("Give it more copies, or ask for fewer:", (lower,)),
        )
        return
    behind = [number for number, part in parts if part.in_sync < part.replicas]
    starving = [number for number, part in parts if part.in_sync < asked]
    if starving and not headless:
        yield Problem(
            Verdict.FAIL,
            f"too few copies up to date for min.insync.replicas={asked}: partition "
            f"{ranges(starving)} takes no record",
            Mend(
                "Start the brokers that hold them, or wait until they have caught up:", (describe,)
            ),
            unreachable=True,
        )
    elif behind and not headless:
        yield Problem(
            Verdict.WARNING,
            f"partition {ranges(behind)} lacks a copy that is up to date",
            Mend(
                "Start the brokers that hold them, or wait until they have caught up:", (describe,)
            ),
        )
    if brokers > 1 and copies == 1:
        yield Problem(
            Verdict.WARNING,
            f"1 copy on {brokers} brokers: with one broker its records are gone",
            Mend("Give it more copies with kafka-reassign-partitions.sh:", (describe,)),
        )
    elif copies > 1 and asked == copies:
        yield Problem(
            Verdict.WARNING,
            f"min.insync.replicas={asked} of {copies} copies: one broker away, and it takes no record",
            Mend("Leave room for one:", (lower,)),
        )
    elif copies > 2 and told == "1":
        more = remedies.set_topic(found.name, {"min.insync.replicas": "2"})
        yield Problem(
            Verdict.WARNING,
            "min.insync.replicas=1: a record counts as written when one broker has it",
            Mend("Ask for two:", (more,)),
        )
