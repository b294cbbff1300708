"""Checks of the work itself: where reading goes on, how far it is behind, and who does it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ops.doctor.finding import Finding, Mend, Problem, Verdict, gathered
from ops.doctor.kafka_facts import GroupFacts, KafkaFacts, LogFacts
from ops.doctor.wording import counted, ranges
from state.store import Checkpoint
from streams.settings import Settings

# A worker counts some thousands a second: what is more than this takes a while.
LAG_RECORDS_MAX = 100_000
_BAD_POSITIONS_SHOWN = 3
_SETTLED = {"Stable", "Empty", "Dead", ""}

Checkpoints = Mapping[int, Checkpoint]


def check_positions(facts: KafkaFacts, settings: Settings, checkpoints: Checkpoints) -> Finding:
    """Whether the log still holds what every partition goes on with."""
    name = "progress.positions"
    if facts.logs is None:
        found = f"whether the log reaches back is not known: {facts.why_silent('logs')}"
        return Finding(name, Verdict.UNKNOWN, found)
    gone: list[str] = []
    anew: list[str] = []
    forgotten: list[str] = []
    unseen: list[str] = []
    positions = 0
    committed = facts.group.committed if facts.group is not None else {}
    for partition, checkpoint in sorted(checkpoints.items()):
        for topic in settings.input_topics:
            log, offset = facts.logs.get((topic, partition)), checkpoint.next_offsets.get(topic, 0)
            where = f"{topic}-{partition}"
            if log is None:
                unseen.append(where)
                continue
            positions += 1
            holds = f"{where} goes on at {offset:,}, the log holds {log.earliest:,} to {log.end:,}"
            told = committed.get((topic, partition))
            if offset > log.end:
                anew.append(holds)
            elif 0 < offset < log.earliest:
                gone.append(holds)
            elif offset < log.earliest and told:
                forgotten.append(
                    f"{where} was counted to {told:,}, the log begins at {log.earliest:,}"
                )
    values = {
        "behind_the_log": gone,
        "beyond_the_log": anew,
        "forgotten": forgotten,
        "not_readable": unseen,
    }
    problems = [
        *_position_problems(gone, anew, unseen, settings),
        *_forgotten_problems(forgotten),
    ]
    return gathered(name, f"all {positions} lie within the log", problems, values)


def _position_problems(
    gone: list[str], anew: list[str], unseen: list[str], settings: Settings
) -> Iterator[Problem]:
    again = (
        f"export EVERSCORE_KEY_PREFIX={settings.key_prefix}again: "
        f"EVERSCORE_GROUP={settings.group}-again"
    )
    if anew:
        yield Problem(
            Verdict.FAIL,
            f"beyond the end of the log: {_some(anew)}",
            Mend(
                "The topic was made anew, or cut: workers stop. Restore it, or found a new "
                "installation, which counts all that is there:",
                (again,),
            ),
        )
    if gone:
        yield Problem(
            Verdict.FAIL,
            f"not in the log any more: {_some(gone)}",
            Mend(
                "Records were deleted before they were counted (see the topic's retention): workers "
                "stop. Restore them, or found a new installation, which counts what is left:",
                (again,),
            ),
        )
    if unseen:
        yield Problem(
            Verdict.UNKNOWN,
            f"no such partition, or none that answers: {', '.join(unseen[:_BAD_POSITIONS_SHOWN])}",
        )


def _forgotten_problems(forgotten: list[str]) -> Iterator[Problem]:
    if forgotten:
        yield Problem(
            Verdict.FAIL,
            f"Redis knows nothing of them: {_some(forgotten)}",
            Mend(
                "Redis was emptied, and what it knew is not in the log any more: workers stop. "
                "Restore Redis from its backup."
            ),
        )


def _some(lines: list[str]) -> str:
    shown = "; ".join(lines[:_BAD_POSITIONS_SHOWN])
    rest = len(lines) - _BAD_POSITIONS_SHOWN
    return f"{shown}; and {rest} more" if rest > 0 else shown


def _lag(facts: KafkaFacts, settings: Settings, checkpoints: Checkpoints) -> dict[int, int]:
    """Records not yet counted, by partition."""
    lag = {}
    for partition, checkpoint in checkpoints.items():
        logs = {t: (facts.logs or {}).get((t, partition)) for t in settings.input_topics}
        lag[partition] = sum(
            _ahead(log, checkpoint.next_offsets.get(topic, 0))
            for topic, log in logs.items()
            if log is not None
        )
    return lag


def _ahead(log: LogFacts, offset: int) -> int:
    return max(log.end - max(offset, log.earliest), 0)


def check_lag(facts: KafkaFacts, settings: Settings, checkpoints: Checkpoints) -> Finding:
    """How many records wait."""
    name = "progress.lag"
    if facts.logs is None:
        found = f"not known: {facts.why_silent('logs')}"
        return Finding(name, Verdict.UNKNOWN, found)
    lag = _lag(facts, settings, checkpoints)
    total = sum(lag.values())
    dead = sum(checkpoint.dead for checkpoint in checkpoints.values())
    found = f"{counted(total, 'record')} to count"
    values = {"records": total, "by_partition": lag, "dead_letters": dead}
    if any((topic, p) not in facts.logs for p in checkpoints for topic in settings.input_topics):
        return Finding(name, Verdict.UNKNOWN, f"at least {found}", values=values)
    if total <= LAG_RECORDS_MAX:
        return Finding(name, Verdict.OK, found, values=values)
    worst = max(lag, key=lambda partition: lag[partition])
    said = f"{found}, {lag[worst]:,} of them in partition {worst}"
    mend = Mend(
        "After a backfill: wait. Otherwise add workers, one for each partition at most, and look "
        "at what those that run write to their logs:",
        ("everscore worker --verbose",),
    )
    return Finding(name, Verdict.WARNING, said, (mend,), values)


def check_workers(facts: KafkaFacts, checkpoints: Checkpoints, *, founded: bool) -> Finding:
    """Whether every partition has a worker, and which."""
    name = "progress.workers"
    start = Mend(
        "Start one; as many as there are partitions may share them:", ("everscore worker",)
    )
    owners = _owners(checkpoints)
    values: dict[str, Any] = {"owners": owners}
    if facts.group is None:
        last = f"; last owners: {_shown(owners)}" if owners else ""
        found = f"not known: {facts.why_silent('group')}{last}"
        return Finding(name, Verdict.UNKNOWN, found, values=values)
    group = facts.group
    if group.refused:
        found = f"not known: Kafka says {group.refused}"
        return Finding(name, Verdict.UNKNOWN, found, values=values)
    values |= {"state": group.state, "workers": [m.host for m in group.members]}
    if not group.members:
        if not founded:
            return Finding(name, Verdict.OK, "none yet", (start,), values)
        found = "none: nothing is being counted"
        return Finding(name, Verdict.WARNING, found, (start,), values)
    return gathered(
        name,
        _at_work(group, owners),
        _worker_problems(group, checkpoints),
        values | {"partitions": [list(member.partitions) for member in group.members]},
    )


def _worker_problems(group: GroupFacts, checkpoints: Checkpoints) -> Iterator[Problem]:
    if group.state not in _SETTLED:
        yield Problem(
            Verdict.WARNING,
            f"{counted(len(group.members), 'worker')}, sharing partitions out at this moment "
            f"({group.state})",
            Mend(
                "Normal when workers come and go. If it stays, some cannot finish: see their logs."
            ),
        )
        return
    owned = {partition for member in group.members for partition in member.partitions}
    orphans = checkpoints.keys() - owned
    if orphans:
        yield Problem(
            Verdict.WARNING,
            f"nobody reads partition {ranges(orphans)}",
            Mend(
                "Members of another kind are in the workers' group: give whoever they are a group "
                "of their own, or set another one here:",
                ("export EVERSCORE_GROUP=everscore-workers",),
            ),
        )


def _at_work(group: GroupFacts, owners: Mapping[str, list[int]]) -> str:
    idle = sum(not member.partitions for member in group.members)
    found = f"{counted(len(group.members), 'worker')}: {_shown(owners)}"
    return f"{found}; {idle} idle, with no partition left" if idle else found


def _owners(checkpoints: Checkpoints) -> dict[str, list[int]]:
    """Partitions by who committed them last."""
    owners: dict[str, list[int]] = {}
    for partition, checkpoint in sorted(checkpoints.items()):
        if checkpoint.owner:
            owners.setdefault(checkpoint.owner, []).append(partition)
    return owners


def _shown(owners: Mapping[str, list[int]]) -> str:
    return ", ".join(f"{owner} has {ranges(numbers)}" for owner, numbers in owners.items())
