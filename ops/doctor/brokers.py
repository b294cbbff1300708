"""Checks of Kafka's brokers: speed, version, number, and the session timeout they allow."""

from __future__ import annotations

from collections.abc import Iterable

from ops.doctor.finding import Finding, Mend, Problem, Verdict, gathered
from ops.doctor.kafka_facts import BrokerFacts, KafkaFacts
from ops.doctor.remedies import Remedies
from ops.doctor.wording import counted, ranges, span
from streams.settings import Settings

OLDEST_KAFKA = "2.3"  # static members of groups
_SLOW_SECONDS = 1.0  # to connect and be answered; 0.02 s on one machine

# Highest level of the feature metadata.version that a release's software supports, from Kafka's
# own table (org.apache.kafka.server.common.MetadataVersion of 4.3.1).
_RELEASES = {
    7: "3.3", 8: "3.4", 11: "3.5", 14: "3.6", 19: "3.7", 20: "3.8", 21: "3.9",
    25: "4.0", 27: "4.1", 29: "4.2", 30: "4.3",
}  # fmt: skip
# Without that feature: the release that brought a request, by the request's key, newest first.
_REQUESTS = {65: "3.0", 60: "2.8", 50: "2.7", 48: "2.6", 45: "2.4", 44: "2.3"}
_NEEDED = {11: 5, 22: 0}  # JoinGroup with static members; InitProducerId for idempotence

_SHORTEST, _LONGEST = "group.min.session.timeout.ms", "group.max.session.timeout.ms"


def check_answers(facts: KafkaFacts, settings: Settings) -> Finding:
    """How fast it is there."""
    seconds = facts.milliseconds / 1000
    found = f"{settings.kafka} in {span(seconds)}"
    if settings.kafka_username is not None:
        found += f", as user {settings.kafka_username}"
    if facts.cluster_id:
        found += f", cluster {facts.cluster_id}"
    problems = [
        Problem(
            Verdict.WARNING,
            said.rstrip("."),
            Mend("The others do for now. Start that broker, or take it out of EVERSCORE_KAFKA."),
        )
        for said in facts.silent_addresses.values()
    ]
    if seconds > _SLOW_SECONDS:
        mend = Mend("Every commit of a worker waits for Kafka: run workers close to the brokers.")
        problems.append(Problem(Verdict.WARNING, f"{found}: slow", mend))
    values = {
        "address": settings.kafka,
        "milliseconds": round(facts.milliseconds, 1),
        "cluster": facts.cluster_id,
        "silent": sorted(facts.silent_addresses),
    }
    return gathered("kafka.answers", found, problems, values)


def release_of(level: int) -> str:
    """The release whose software supports a level of metadata.version and none above.

    Examples
    --------
    >>> release_of(30), release_of(26), release_of(99)
    ('4.3', '4.1', 'newer than 4.3')
    """
    fitting = [release for highest, release in _RELEASES.items() if level <= highest]
    return fitting[0] if fitting else f"newer than {_RELEASES[max(_RELEASES)]}"


def _software(broker: BrokerFacts) -> str | None:
    """What can be said of a broker's version; None where nothing can."""
    if broker.level is not None:
        return release_of(broker.level)
    bound = next((release for key, release in _REQUESTS.items() if key in broker.apis), None)
    return None if bound is None else f"{bound} or newer"


def check_version(facts: KafkaFacts, remedies: Remedies) -> Finding:
    """Whether the brokers are new enough, and of one version."""
    needed = f"{OLDEST_KAFKA} or newer is needed"
    if not facts.brokers:
        found = f"not known: {facts.why_silent('versions')}"
        return Finding("kafka.version", Verdict.UNKNOWN, found)
    versions = [_software(broker) for broker in facts.brokers]
    known = sorted({version for version in versions if version is not None})
    levels = [broker.level_in_use for broker in facts.brokers if broker.level_in_use is not None]
    in_use = release_of(min(levels)) if levels else None
    problems = list(_version_problems(facts.brokers, known, in_use, remedies))
    values = {"versions": known, "in_use": in_use, "oldest_supported": OLDEST_KAFKA}
    if not known and not problems:
        return Finding(
            "kafka.version",
            Verdict.UNKNOWN,
            "not told; it speaks what we need, but not as an Apache Kafka of our time does",
            (Mend("Fine for trying out. Data that matters belongs to a real Apache Kafka."),),
            values,
        )
    return gathered("kafka.version", f"{', '.join(known)} ({needed})", problems, values)


def _version_problems(
    brokers: Iterable[BrokerFacts], known: list[str], in_use: str | None, remedies: Remedies
) -> Iterable[Problem]:
    old = [
        broker.node
        for broker in brokers
        if any(broker.apis.get(key, -1) < version for key, version in _NEEDED.items())
    ]
    if old:
        yield Problem(
            Verdict.FAIL,
            f"older than {OLDEST_KAFKA} (node {', '.join(map(str, old))})",
            Mend(f"Upgrade the brokers to {OLDEST_KAFKA} or newer."),
        )
    elif len(known) > 1:
        yield Problem(
            Verdict.WARNING,
            f"brokers of several versions: {', '.join(known)}",
            Mend("Right in the middle of an upgrade, and only then: finish it."),
        )
    elif known and in_use and in_use != known[0] and known[0] in _RELEASES.values():
        yield Problem(
            Verdict.WARNING,
            f"{known[0]}, but the cluster still behaves as {in_use}",
            Mend(
                "The last step of an upgrade is missing; after it there is no way back:",
                (remedies.finish_upgrade(known[0]),),
            ),
        )


def check_brokers(facts: KafkaFacts) -> Finding:
    """Whether all brokers answer, and whether one may be lost."""
    count = len(facts.nodes)
    found = counted(count, "broker")
    answered = {broker.node for broker in facts.brokers}
    mute = [node for node in facts.nodes if node in facts.asked_nodes and node not in answered]
    problems = []
    if mute:
        problems.append(
            Problem(
                Verdict.FAIL,
                f"{found}, of which node {ranges(mute)} does not answer: "
                f"{facts.why_silent('versions')}",
                Mend(
                    "What it leads stands still until it is back, or until the others have noticed "
                    "and taken over. Start it; if it runs, can we reach the address that it gives "
                    "itself (advertised.listeners)?"
                ),
                unreachable=True,
            )
        )
    if count == 1:
        problems.append(
            Problem(
                Verdict.WARNING,
                "1 broker: every record has one copy, and all stands still while it is away",
                Mend(
                    "Enough for a trial. For data that matters: three brokers, and topics with "
                    "replication factor 3 and min.insync.replicas=2."
                ),
            )
        )
    return gathered("kafka.brokers", found, problems, {"brokers": count, "mute": mute})


def check_session(facts: KafkaFacts, settings: Settings) -> Finding:
    """Whether brokers accept the workers' session timeout."""
    name, ours = "kafka.session", settings.session_timeout_seconds * 1000
    variable = f"EVERSCORE_SESSION_TIMEOUT_SECONDS={settings.session_timeout_seconds:g}"
    values = {"session_timeout_ms": ours}
    bounds = [(facts.settings or {}).get(bound) for bound in (_SHORTEST, _LONGEST)]
    if bounds[0] is None or bounds[1] is None:
        why = facts.why_silent("settings") if facts.settings is None else "the broker hides it"
        found = f"{variable}; whether brokers accept it is not known: {why}"
        return Finding(name, Verdict.UNKNOWN, found, values=values)
    low, high = (int(bound) for bound in bounds if bound is not None)
    values |= {_SHORTEST: low, _LONGEST: high}
    allowed = f"brokers accept {span(low / 1000)} to {span(high / 1000)}"
    if low <= ours <= high:
        return Finding(name, Verdict.OK, f"{variable}; {allowed}", values=values)
    nearest = low if ours < low else high
    bound = _SHORTEST if ours < low else _LONGEST
    mend = Mend(
        f"No worker can join its group. Set this, or the brokers' {bound}:",
        (f"export EVERSCORE_SESSION_TIMEOUT_SECONDS={nearest / 1000:g}",),
    )
    return Finding(name, Verdict.FAIL, f"{variable}, but {allowed}", (mend,), values)
