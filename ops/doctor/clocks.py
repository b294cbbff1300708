"""Checks of clocks: ours against Redis's, and against what the newest records say.

Kafka tells nobody the time. What can be seen without writing is a record that is stamped later than
it is now: then its producer's clock (or the broker's, where brokers stamp) is ahead, or ours behind.
That record stays for ever, so it is worth a warning and no more.
"""

from __future__ import annotations

from collections.abc import Mapping

from ops.doctor.finding import Finding, Mend, Verdict
from ops.doctor.kafka_facts import KafkaFacts
from ops.doctor.wording import span
from state.inspection import RedisFacts
from streams.settings import Settings

SKEW_WARNING_SECONDS = 1.0  # machines with NTP stay within some milliseconds
_SYNCHRONISE = "Synchronise both machines with a time server (chrony, systemd-timesyncd):"
_COMMANDS = ("chronyc tracking", "timedatectl status")


def _tolerance(settings: Settings) -> tuple[float, str]:
    """The skew from which on customers are scored wrongly, and the setting that says so."""
    tolerances = {
        "EVERSCORE_LIVE_WITHIN_SECONDS": settings.live_within_seconds,
        "EVERSCORE_FUTURE_SECONDS_MAX": settings.future_seconds_max,
    }
    name = min(tolerances, key=lambda one: tolerances[one])
    return tolerances[name], f"{name}={tolerances[name]:g}"


def check_redis_clock(facts: RedisFacts, settings: Settings) -> Finding:
    """How far Redis's clock and ours are apart."""
    name = "clock.redis"
    if facts.ahead_seconds is None:
        return Finding(name, Verdict.UNKNOWN, "not known: we may not ask Redis for INFO")
    skew = abs(facts.ahead_seconds)
    values = {
        "ahead_seconds": round(facts.ahead_seconds, 4),
        "error_seconds": round(facts.error_seconds, 4),
    }
    if skew - facts.error_seconds < SKEW_WARNING_SECONDS:
        apart = span(max(skew, facts.error_seconds))
        return Finding(name, Verdict.OK, f"within {apart} of ours", values=values)
    tolerance, setting = _tolerance(settings)
    direction = "ahead of" if facts.ahead_seconds > 0 else "behind"
    found = f"{span(skew)} {direction} ours"
    verdict = Verdict.WARNING
    if skew > tolerance:
        verdict, found = Verdict.FAIL, f"{found}, more than {setting}"
    return Finding(name, verdict, found, (Mend(_SYNCHRONISE, _COMMANDS),), values)


def check_records_clock(facts: KafkaFacts, stamped_by: Mapping[str, str]) -> Finding:
    """Whether the newest record of the inputs is stamped later than it is now."""
    name = "clock.records"
    newest = {
        where: log.newest_ms
        for where, log in (facts.logs or {}).items()
        if log.newest_ms is not None
    }
    if not newest:
        why = facts.why_silent("newest") if "newest" in facts.silent else "there are none"
        return Finding(name, Verdict.UNKNOWN, f"no record to compare with ours: {why}")
    where = max(newest, key=lambda one: newest[one])
    topic, partition = where
    ahead = (newest[where] - facts.asked_ms) / 1000
    values = {
        "newest_ms": newest[where],
        "ahead_seconds": ahead,
        "partition": f"{topic}-{partition}",
    }
    if ahead < SKEW_WARNING_SECONDS:
        age = "now" if ahead >= 0 else f"{span(-ahead)} ago"
        return Finding(name, Verdict.OK, f"the newest is stamped {age}, by ours", values=values)
    by = "broker" if stamped_by.get(topic) == "LogAppendTime" else "producer"
    found = f"a record of {topic}-{partition} is stamped {span(ahead)} ahead of our clock"
    mend = Mend(f"The {by}'s clock was ahead, or ours is behind. {_SYNCHRONISE}", _COMMANDS)
    return Finding(name, Verdict.WARNING, found, (mend,), values)
