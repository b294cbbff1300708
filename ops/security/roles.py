"""Who may do what: one table for Kafka, one for Redis; everything else is forbidden.

Owns the grants. The local stack is set up by them, `ops/security/README.md` is written from them,
and the tests try what they leave out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from state.keys import Keys
from streams.settings import Settings

OFFERS_GROUPS = "offers"  # groups of offer engines begin with it
DEMO_TOPICS = "everscore-demo-"  # what `everscore demo` names its topics and group
DEMO_KEYS = "demo-"


class Role(StrEnum):
    """One user each; the admin is Kafka's super user and may do all in Redis."""

    ADMIN = "admin"
    WORKER = "worker"
    PRODUCER = "producer"
    READER = "reader"
    SUPPORT = "support"
    AUDITOR = "auditor"
    ERASER = "eraser"
    DEMO = "demo"


MEANING = {
    Role.ADMIN: "creates topics, users and ACLs; every right there is",
    Role.WORKER: "`everscore worker`",
    Role.PRODUCER: "whoever publishes transactions, `everscore replay` and `dlq requeue` too",
    Role.READER: "offer engines",
    Role.SUPPORT: "`everscore lookup`, `explain`, `tail`, `serve`, `dlq ls`, `dlq show`, `doctor`",
    Role.AUDITOR: "`everscore verify`: reads every topic and all of Redis, writes nothing",
    Role.ERASER: "`everscore erase`: publishes erasures, deletes dead letters, reads Redis",
    Role.DEMO: "`everscore demo` on servers that others use: everything it makes has names of its own",
}


@dataclass(frozen=True, slots=True)
class KafkaGrant:
    """Operations on one topic or group.

    Attributes
    ----------
    role : Role
    kind : str
        `topic` or `group`.
    name : str
        The setting that names it, or, with `prefixed`, how its name begins.
    prefixed : bool
    operations : tuple of str
        Reading and writing imply describing.
    """

    role: Role
    kind: Literal["topic", "group"]
    name: str
    operations: tuple[str, ...]
    prefixed: bool = False


@dataclass(frozen=True, slots=True, order=True)
class KafkaAcl:
    """One ACL as Kafka keeps it: allow a user, from any host."""

    user: str
    kind: str
    name: str
    pattern: str
    operation: str


_READ, _WRITE, _DESCRIBE = "READ", "WRITE", "DESCRIBE"
_CONFIGS = "DESCRIBE_CONFIGS"  # doctor compares topics with what is declared

KAFKA_GRANTS: tuple[KafkaGrant, ...] = (
    KafkaGrant(Role.WORKER, "topic", "transactions_topic", (_READ, _CONFIGS)),
    KafkaGrant(Role.WORKER, "topic", "rekeyed_topic", (_READ, _WRITE, _CONFIGS)),
    KafkaGrant(Role.WORKER, "topic", "changes_topic", (_WRITE, _CONFIGS)),
    KafkaGrant(Role.WORKER, "topic", "dead_letter_topic", (_WRITE, _CONFIGS)),
    KafkaGrant(Role.WORKER, "topic", "scorecards_topic", (_READ, _WRITE, _CONFIGS)),
    KafkaGrant(Role.WORKER, "topic", "journal_topic", (_READ, _WRITE, _CONFIGS)),
    KafkaGrant(Role.WORKER, "topic", "samples_topic", (_READ, _WRITE, _CONFIGS)),
    KafkaGrant(Role.WORKER, "group", "group", (_READ,)),
    KafkaGrant(Role.PRODUCER, "topic", "transactions_topic", (_WRITE,)),
    KafkaGrant(Role.READER, "topic", "changes_topic", (_READ,)),
    KafkaGrant(Role.READER, "group", OFFERS_GROUPS, (_READ,), prefixed=True),
    KafkaGrant(Role.SUPPORT, "topic", "transactions_topic", (_DESCRIBE, _CONFIGS)),
    KafkaGrant(Role.SUPPORT, "topic", "rekeyed_topic", (_DESCRIBE, _CONFIGS)),
    KafkaGrant(Role.SUPPORT, "topic", "changes_topic", (_READ, _CONFIGS)),
    KafkaGrant(Role.SUPPORT, "topic", "dead_letter_topic", (_READ, _CONFIGS)),
    KafkaGrant(Role.SUPPORT, "topic", "scorecards_topic", (_DESCRIBE, _CONFIGS)),
    KafkaGrant(Role.SUPPORT, "topic", "samples_topic", (_DESCRIBE, _CONFIGS)),
    KafkaGrant(Role.SUPPORT, "topic", "journal_topic", (_DESCRIBE, _CONFIGS)),
    KafkaGrant(Role.SUPPORT, "group", "group", (_DESCRIBE,)),
    KafkaGrant(Role.AUDITOR, "topic", "transactions_topic", (_READ,)),
    KafkaGrant(Role.AUDITOR, "topic", "rekeyed_topic", (_READ,)),
    KafkaGrant(Role.AUDITOR, "topic", "journal_topic", (_READ,)),
    KafkaGrant(Role.AUDITOR, "topic", "changes_topic", (_READ,)),
    KafkaGrant(Role.AUDITOR, "topic", "dead_letter_topic", (_READ,)),
    KafkaGrant(Role.ERASER, "topic", "transactions_topic", (_WRITE,)),
    KafkaGrant(Role.ERASER, "topic", "dead_letter_topic", (_READ, _WRITE, "DELETE")),
    KafkaGrant(Role.DEMO, "topic", DEMO_TOPICS, ("CREATE", _READ, _WRITE, _CONFIGS), prefixed=True),
    KafkaGrant(Role.DEMO, "group", DEMO_TOPICS, (_READ,), prefixed=True),
)


@dataclass(frozen=True, slots=True)
class RedisGrant:
    """Commands, and the keys they may touch.

    Attributes
    ----------
    role : Role
    commands : tuple of str
        Those that `state.redis_store` sends, and those that its scripts call: both are checked.
    """

    role: Role
    commands: tuple[str, ...]


_LOOK = ("hget", "hgetall", "hmget", "get", "zrange", "zrangebyscore", "zscan", "xrange")
# A script may do nothing that its caller may not, so running some is no more than that.
_SCRIPTS = ("evalsha", "script|load")
_CHANGE = ("hset", "hsetnx", "hincrby", "set", "restore", "zadd", "xadd", "xtrim")
_COUNT = (*_CHANGE, "multi", "exec")
_ERASE = ("del", "hdel", "zrem")

REDIS_GRANTS: tuple[RedisGrant, ...] = (
    RedisGrant(Role.WORKER, ("info", "ping", *_SCRIPTS, *_LOOK, *_COUNT, *_ERASE)),
    RedisGrant(Role.SUPPORT, ("info", "ping", *_SCRIPTS, *_LOOK)),
    RedisGrant(Role.AUDITOR, ("info", "ping", *_SCRIPTS, *_LOOK)),
    RedisGrant(Role.ERASER, ("info", "ping", *_SCRIPTS, *_LOOK)),
    RedisGrant(Role.DEMO, ("info", "ping", *_SCRIPTS, *_LOOK, *_COUNT, *_ERASE)),
)


def kafka_acls(settings: Settings, roles: dict[str, tuple[Role, ...]]) -> tuple[KafkaAcl, ...]:
    """ACLs of users.

    Parameters
    ----------
    settings : Settings
        Names of topics and group.
    roles : dict of str to tuple of Role
        What each user is.

    Examples
    --------
    >>> for acl in kafka_acls(Settings.model_construct(), {"shop": (Role.PRODUCER,)}):
    ...     print(acl.user, acl.operation, acl.pattern, acl.kind, acl.name)
    shop WRITE LITERAL topic transactions
    """
    return tuple(
        KafkaAcl(
            user,
            grant.kind,
            name_of(grant, settings),
            "PREFIXED" if grant.prefixed else "LITERAL",
            operation,
        )
        for user, its_roles in roles.items()
        for grant in KAFKA_GRANTS
        if grant.role in its_roles
        for operation in grant.operations
    )


def name_of(grant: KafkaGrant, settings: Settings) -> str:
    """Name of a grant's topic or group, or how it begins."""
    return grant.name if grant.prefixed else str(getattr(settings, grant.name))


def redis_rules(role: Role, keys: Keys) -> list[str]:
    """What `ACL SETUSER` wants to hear about a role, password left aside; empty for none.

    Parameters
    ----------
    role : Role
    keys : Keys
        Of the installation.

    Examples
    --------
    >>> redis_rules(Role.SUPPORT, Keys())[:4]
    ['resetkeys', 'resetchannels', '~customer:*', '~partition:*']
    """
    if role is Role.ADMIN:
        return ["~*", "&*", "+@all"]
    for grant in REDIS_GRANTS:
        if grant.role is role:
            own = Keys(DEMO_KEYS + "*:") if role is Role.DEMO else keys
            patterns = [f"~{pattern}" for pattern in key_patterns(own)]
            commands = [f"+{command}" for command in grant.commands]
            return ["resetkeys", "resetchannels", *patterns, "-@all", *commands]
    return []


def key_patterns(keys: Keys) -> Iterator[str]:
    """Every key of an installation, as glob patterns."""
    tag = "{*}:" if keys.cluster else ""
    for family in ("customer", "partition", "outbox", "due", "erased", "rebuild"):
        yield f"{keys.prefix}{tag}{family}:*"
    yield from (keys.installation, keys.scorecards, keys.current_scorecard)
    yield from (keys.learning, keys.rebuilt)
