"""Kafka's users, their passwords and ACLs, set by its admin over mTLS.

Passwords travel inside the encrypted connection and are on no command line.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)

from ops.security.roles import KafkaAcl
from schemas.errors import ConfigurationError

_REQUEST_SECONDS_MAX = 15.0
_ITERATIONS = 4_096  # the least that Kafka takes; more are for passwords that people choose


def furnish_kafka(
    bootstrap: str,
    *,
    ca: Path,
    certificate: tuple[Path, Path],
    passwords: Mapping[str, str],
    acls: Iterable[KafkaAcl],
    users: Collection[str],
) -> None:
    """Make Kafka know users by their passwords, and allow them what is declared and nothing else.

    Parameters
    ----------
    bootstrap : str
        A listener that takes certificates.
    ca, certificate : Path, pair of Path
        Of the admin.
    passwords : mapping of str to str
        By user, for SCRAM-SHA-512.
    acls : iterable of KafkaAcl
    users : collection of str
        Whose ACLs are ours: others of theirs are taken away, those of anybody else stay.

    Raises
    ------
    ConfigurationError
        Kafka refuses it.
    """
    admin = AdminClient(
        {
            "bootstrap.servers": bootstrap,
            "security.protocol": "SSL",
            "ssl.ca.location": str(ca),
            "ssl.certificate.location": str(certificate[0]),
            "ssl.key.location": str(certificate[1]),
            "log_level": 0,
        }
    )
    mechanism = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, _ITERATIONS)
    upsertions: list[UserScramCredentialAlteration] = [
        UserScramCredentialUpsertion(user, mechanism, password.encode())
        for user, password in passwords.items()
    ]
    try:
        _all(admin.alter_user_scram_credentials(upsertions).values())
        declared = set(acls)
        found = {
            acl: binding
            for binding in admin.describe_acls(_filter()).result(_REQUEST_SECONDS_MAX)
            if (acl := acl_of(binding)) is not None and acl.user in users
        }
        superfluous = [_filter(binding) for acl, binding in found.items() if acl not in declared]
        missing = [_binding(acl) for acl in sorted(declared - found.keys())]
        if missing:
            _all(admin.create_acls(missing).values())
        if superfluous:
            _all(admin.delete_acls(superfluous).values())
    except (KafkaException, TimeoutError) as error:
        raise ConfigurationError(
            f"Kafka at {bootstrap} did not take its users and ACLs: {error}."
        ) from error


def _all(answers: Iterable[Future[Any]]) -> None:
    for answer in answers:
        answer.result(_REQUEST_SECONDS_MAX)


def _binding(acl: KafkaAcl) -> AclBinding:
    return AclBinding(
        ResourceType[acl.kind.upper()],
        acl.name,
        ResourcePatternType[acl.pattern],
        f"User:{acl.user}",
        "*",
        AclOperation[acl.operation],
        AclPermissionType.ALLOW,
    )


def acl_of(binding: AclBinding) -> KafkaAcl | None:
    """An ACL as we declare them; None for one that we never would."""
    user = str(binding.principal)
    if not user.startswith("User:"):
        return None
    allows = binding.permission_type is AclPermissionType.ALLOW and binding.host == "*"
    return KafkaAcl(
        user.removeprefix("User:"),
        ResourceType(binding.restype).name.lower(),
        str(binding.name),
        ResourcePatternType(binding.resource_pattern_type).name if allows else "OTHER",
        AclOperation(binding.operation).name,
    )


def _filter(binding: AclBinding | None = None) -> AclBindingFilter:
    """One ACL exactly, or all there are."""
    if binding is None:
        anything: Any = None
        return AclBindingFilter(
            ResourceType.ANY, anything, ResourcePatternType.ANY, anything, anything,
            AclOperation.ANY, AclPermissionType.ANY,
        )  # fmt: skip
    return AclBindingFilter(
        binding.restype, binding.name, binding.resource_pattern_type, binding.principal,
        binding.host, binding.operation, binding.permission_type,
    )  # fmt: skip
