"""Checks of permissions: may we do what our role does, tried without doing it.

Which role needs what is `ops.security.roles`' to say.
"""

from __future__ import annotations

from collections.abc import Iterable

from ops.doctor.finding import Finding, Mend, Problem, Verdict, gathered
from ops.doctor.kafka_facts import FORBIDDEN, KafkaFacts
from ops.doctor.remedies import Remedies
from ops.security.roles import KAFKA_GRANTS, REDIS_GRANTS, KafkaGrant, Role, name_of, redis_rules
from state.inspection import RedisFacts
from streams.settings import Settings

# What only the doctor needs: without it, it says so where it cannot look.
_OURS_ALONE = {"DESCRIBE_CONFIGS"}
_GROUP_FORBIDDEN = "GroupAuthorizationFailed"
_REFUSED_SHOWN = 4


def needed_topics(role: Role, settings: Settings) -> list[str]:
    """Topics that a role has to do with."""
    return [name_of(grant, settings) for grant in _grants(role) if grant.kind == "topic"]


def needed_commands(role: Role) -> tuple[str, ...]:
    """Commands of Redis that a role sends, by their names in an ACL."""
    return next((grant.commands for grant in REDIS_GRANTS if grant.role is role), ())


def _grants(role: Role) -> Iterable[KafkaGrant]:
    return (grant for grant in KAFKA_GRANTS if grant.role is role and not grant.prefixed)


def check_kafka_permissions(
    facts: KafkaFacts, settings: Settings, role: Role, remedies: Remedies
) -> Finding:
    """Whether Kafka lets us do what the role needs."""
    lacking: dict[str, list[str]] = {}
    unknown: list[str] = []
    told = 0
    beyond: set[str] = set()
    run: list[str] = []
    untold = ""
    for grant in _grants(role):
        name = name_of(grant, settings)
        if grant.kind == "topic" and facts.topics[name].missing:
            continue  # told elsewhere
        if grant.kind == "group" and _never_joined(facts):
            untold = f"; about group {name} Kafka tells with its first member"
            continue
        allowed = _allowed(facts, grant, name)
        needed = set(grant.operations) - _OURS_ALONE
        if allowed is None:
            unknown.append(f"{grant.kind} {name}")
            continue
        told += 1
        beyond |= allowed & {"DELETE", "ALTER"}
        missing = sorted(needed - allowed)
        if missing:
            lacking[f"{grant.kind} {name}"] = missing
            run += [remedies.allow(grant.kind, name, operation) for operation in missing]
    values = {"role": role.value, "refused": lacking, "unknown": unknown, "beyond": sorted(beyond)}
    problems = []
    if lacking:
        said = ", ".join(f"{' and '.join(ops)} on {where}" for where, ops in lacking.items())
        mend = Mend("An administrator can allow it:", tuple(run))
        problems.append(Problem(Verdict.FAIL, f"refused: {said}", mend))
    if unknown:
        said = "Kafka does not tell what we may do with " + ", ".join(unknown)
        if not told:
            said = "Kafka does not tell what we may do"
        problems.append(Problem(Verdict.UNKNOWN, said))
    found = f"all that role {role.value} needs"
    if beyond:
        found += "; more too, such as deleting topics"
    return gathered("permissions.kafka", found + untold, problems, values)


def _never_joined(facts: KafkaFacts) -> bool:
    group = facts.group
    return group is not None and not group.refused and group.operations is None


def _allowed(facts: KafkaFacts, grant: KafkaGrant, name: str) -> frozenset[str] | None:
    """Operations that Kafka allows; None where it does not tell."""
    if grant.kind == "group":
        group = facts.group
        if group is not None and group.refused == _GROUP_FORBIDDEN:
            return frozenset()
        operations = None if group is None or group.refused else group.operations
    else:
        topic = facts.topics[name]
        if topic.refused == FORBIDDEN:
            return frozenset()
        operations = None if topic.refused else topic.operations
    if operations is None:
        return None
    return operations | {"DESCRIBE"} if operations & {"READ", "WRITE"} else operations


def check_redis_permissions(
    facts: RedisFacts, settings: Settings, role: Role, remedies: Remedies
) -> Finding:
    """Whether Redis lets us do what the role needs."""
    values = {"role": role.value, "refused": dict(facts.refused), "untried": list(facts.untried)}
    problems = []
    if facts.refused:
        listed = list(facts.refused)
        reasons = sorted(set(facts.refused.values()))
        said = ", ".join(listed[:_REFUSED_SHOWN])
        if len(listed) > _REFUSED_SHOWN:
            said += f" and {len(listed) - _REFUSED_SHOWN} more"
        user = settings.redis_username or facts.user or "default"
        # Added to what the user may do already: nothing is taken away.
        rules = [rule for rule in redis_rules(role, settings.keys) if rule[0] in "~+"]
        mend = Mend(
            "If it is for lack of permission, an administrator can allow it:",
            (remedies.redis("ACL", "SETUSER", user, *rules),),
        )
        problems.append(Problem(Verdict.FAIL, f"refused: {said} ({'; '.join(reasons)})", mend))
    elif facts.untried and role is Role.WORKER:
        said = f"not tried, since it would change something: {', '.join(facts.untried)}"
        problems.append(Problem(Verdict.UNKNOWN, said))
    return gathered("permissions.redis", f"all that role {role.value} needs", problems, values)
