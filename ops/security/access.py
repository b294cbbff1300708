"""Environment variables with which a user of the local stack comes in; no secret among them."""

from __future__ import annotations

from ops.security.profile import USERS, Profile
from schemas.errors import ConfigurationError

_VARIABLE = "EVERSCORE_"


def access_variables(
    profile: Profile, user: str, *, kafka: str, kafka_mtls: str, redis: str, certificate: bool
) -> dict[str, str]:
    """What a user's commands need to be told.

    Parameters
    ----------
    profile : Profile
        Whose files are named.
    user : str
    kafka, kafka_mtls, redis : str
        Addresses.
    certificate : bool
        Come to Kafka by certificate, and show it to Redis too, instead of by password only.

    Returns
    -------
    dict of str to str
        By name of the variable; passwords stay in the folder that EVERSCORE_SECRETS names.

    Raises
    ------
    ConfigurationError
        There is no such user.
    """
    if user not in USERS:
        raise ConfigurationError(
            f"the local stack has no user {user!r}.", hint=f"It has {', '.join(USERS)}."
        )
    ca, pair = str(profile.ca), profile.certificate(user)
    show = {"CERTIFICATE": str(pair[0]), "KEY": str(pair[1])}
    found = {"SECRETS": str(profile.user_folder(user)), "KAFKA_CA": ca}
    if certificate or not profile.knows(user, "KAFKA"):
        found |= {"KAFKA": kafka_mtls, "KAFKA_SECURITY": "SSL"}
        found |= {f"KAFKA_{name}": path for name, path in show.items()}
    else:
        found |= {"KAFKA": kafka, "KAFKA_SECURITY": "SASL_SSL", "KAFKA_USERNAME": user}
    if profile.knows(user, "REDIS"):
        found |= {"REDIS": redis, "REDIS_USERNAME": user, "REDIS_CA": ca}
        if certificate:
            found |= {f"REDIS_{name}": path for name, path in show.items()}
    return {f"{_VARIABLE}{name}": found[name] for name in sorted(found)}
