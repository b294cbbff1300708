"""Checks of Redis: version, eviction, memory, persistence, role."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ops.doctor.finding import Finding, Mend, Problem, Verdict, gathered
from ops.doctor.remedies import Remedies
from ops.doctor.wording import counted, size
from state.inspection import RedisFacts
from state.redis_store import OLDEST_VERSION
from streams.settings import Settings

_SLOW_MS = 10.0  # a worker waits for one answer a slice; 0.2 ms on one machine
_MEMORY_WARNING, _MEMORY_FAIL = 0.8, 0.95
_OLDEST = ".".join(map(str, OLDEST_VERSION))


def check_redis(facts: RedisFacts, settings: Settings, remedies: Remedies) -> Iterator[Finding]:
    """All checks of the server."""
    yield _answers(facts, settings)
    if not facts.info:
        yield Finding(
            "redis.settings", Verdict.UNKNOWN, "not known: we may not ask for INFO; see permissions"
        )
        return
    yield _version(facts.info)
    yield _eviction(facts, remedies)
    yield _memory(facts.info, remedies)
    yield _persistence(facts, remedies)
    yield _role(facts.info, settings, remedies)


def _answers(facts: RedisFacts, settings: Settings) -> Finding:
    found = f"{settings.redis} in {facts.ping_ms:.1f} ms"
    user = facts.user or settings.redis_username
    if user is not None:
        found += f", as user {user}"
    slow = Problem(
        Verdict.WARNING,
        f"{found}: slow",
        Mend("Workers wait for it at every commit: run them close to Redis."),
    )
    values = {"address": settings.redis, "milliseconds": round(facts.ping_ms, 2)}
    problems = [slow] if facts.ping_ms > _SLOW_MS else []
    return gathered("redis.answers", found, problems, values | {"user": user})


def _version(info: Mapping[str, Any]) -> Finding:
    version = str(info.get("redis_version", "0"))
    old = Problem(
        Verdict.FAIL,
        f"{version}; {_OLDEST} or newer is needed",
        Mend(f"Workers refuse to start. Upgrade Redis to {_OLDEST} or newer."),
    )
    too_old = tuple(int(part) for part in version.split(".")[:2]) < OLDEST_VERSION
    found = f"{version} ({_OLDEST} or newer is needed)"
    return gathered("redis.version", found, [old] if too_old else [], {"version": version})


def _eviction(facts: RedisFacts, remedies: Remedies) -> Finding:
    policy = facts.info.get("maxmemory_policy") or (facts.config or {}).get("maxmemory-policy")
    evicts = Problem(
        Verdict.FAIL,
        f"maxmemory-policy {policy}: when memory is full, Redis drops customers",
        Mend(
            "Workers refuse to start. Set it, and in redis.conf too:",
            remedies.configure_redis("maxmemory-policy", "noeviction"),
        ),
    )
    problems = [] if policy == "noeviction" else [evicts]
    found = f"maxmemory-policy {policy}: nothing is ever dropped"
    return gathered("redis.eviction", found, problems, {"maxmemory_policy": policy})


def _memory(info: Mapping[str, Any], remedies: Remedies) -> Finding:
    used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    values = {"used_memory": used, "maxmemory": limit}
    if not limit:
        machine = int(info.get("total_system_memory", 0))
        where = f" of the machine's {size(machine)}" if machine else ""
        return Finding(
            "redis.memory", Verdict.OK, f"{size(used)} used{where}; no limit set", values=values
        )
    share = used / limit
    found = f"{size(used)} of maxmemory {size(limit)} used ({share:.0%})"
    mend = Mend(
        "When it is full, Redis takes no more writes and workers wait. Give it more:",
        remedies.configure_redis("maxmemory", str(2 * limit)),
    )
    problems = []
    if share >= _MEMORY_WARNING:
        verdict = Verdict.FAIL if share >= _MEMORY_FAIL else Verdict.WARNING
        problems.append(Problem(verdict, f"almost full: {found}", mend))
    return gathered("redis.memory", found, problems, values)


def _persistence(facts: RedisFacts, remedies: Remedies) -> Finding:
    info, config = facts.info, facts.config or {}
    log, snapshots = info.get("aof_enabled") == 1, config.get("save")
    fsync = config.get("appendfsync")
    values = {
        "appendonly": log,
        "appendfsync": fsync,
        "save": snapshots,
        "aof_last_write_status": info.get("aof_last_write_status"),
        "rdb_last_bgsave_status": info.get("rdb_last_bgsave_status"),
    }
    problems = [*_disk_problems(info, log=log), *_log_problems(log, snapshots, fsync, remedies)]
    found = f"appendonly yes, appendfsync {fsync or 'not told'}"
    return gathered("redis.persistence", found, problems, values)


def _log_problems(
    log: bool, snapshots: str | None, fsync: str | None, remedies: Remedies
) -> Iterator[Problem]:
    switch_on = remedies.configure_redis("appendonly", "yes")
    if not log and snapshots == "":
        yield Problem(
            Verdict.FAIL,
            "appendonly no, and no snapshots: a restart of Redis loses every customer",
            Mend("Switch the log on, and in redis.conf too:", switch_on),
        )
    elif not log:
        how = f" (save {snapshots})" if snapshots else ""
        yield Problem(
            Verdict.WARNING,
            f"appendonly no: a restart loses what came after the last snapshot{how}",
            Mend("Workers would count it again from Kafka. Better switch the log on:", switch_on),
        )
    elif fsync == "no":
        yield Problem(
            Verdict.WARNING,
            "appendonly yes, but appendfsync no: a crash of the machine loses half a minute",
            Mend(
                "Once a second costs little:", remedies.configure_redis("appendfsync", "everysec")
            ),
        )


def _disk_problems(info: Mapping[str, Any], *, log: bool) -> Iterator[Problem]:
    failed = {
        "aof_last_write_status": "its last write to the append-only file failed",
        "rdb_last_bgsave_status": "its last snapshot failed",
    }
    for status, said in failed.items():
        if info.get(status, "ok") != "ok" and (log or status.startswith("rdb")):
            yield Problem(
                Verdict.FAIL,
                f"{said} ({status}={info[status]}): Redis may refuse writes",
                Mend("See Redis's log; most often the disk is full or not writable."),
            )


def _role(info: Mapping[str, Any], settings: Settings, remedies: Remedies) -> Finding:
    role, cluster = info.get("role"), info.get("cluster_enabled") == 1
    replicas = int(info.get("connected_slaves", 0))
    values = {"role": role, "replicas": replicas, "cluster": cluster}
    problems = []
    if role == "slave":
        master = f"{info.get('master_host')}:{info.get('master_port')}"
        problems.append(
            Problem(
                Verdict.FAIL,
                f"a replica of {master}, which takes no writes",
                Mend("Name the master in EVERSCORE_REDIS, not the replica."),
            )
        )
    if cluster and not settings.redis_cluster:
        problems.append(
            Problem(
                Verdict.FAIL,
                "a node of a cluster, but EVERSCORE_REDIS_CLUSTER is False: a slice's keys would "
                "lie on several nodes",
                Mend(
                    "For a new installation; an old one keeps its names and must be rebuilt:",
                    ("export EVERSCORE_REDIS_CLUSTER=1",),
                ),
            )
        )
    found = f"master with {counted(replicas, 'replica')}"
    return gathered("redis.role", found + (", in a cluster" if cluster else ""), problems, values)
