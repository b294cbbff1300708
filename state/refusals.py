"""What a server that turns us away means, and what the operator can do about it: one line each.

Owns TLS, for every server we speak to, and Redis. Trying again changes none of these answers.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from typing import Final

from redis.exceptions import AuthenticationError, InvalidResponse, NoPermissionError, ResponseError

from schemas.errors import ConfigurationError

# OpenSSL's codes of X509_verify_cert.
_NOT_YET_VALID, _EXPIRED, _OTHER_HOST, _OTHER_ADDRESS = 9, 10, 62, 64
# Said by the other side's TLS about the certificate that we showed, or did not show.
_CERTIFICATE_ALERTS: Final = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it wants one",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it wants one that it trusts",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it does not trust it",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it has expired",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "it was revoked",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "it is not for clients",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not know the CA",
    "TLSV1_ALERT_ACCESS_DENIED": "it denies access",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it may want one",
}
# What comes back from a port where nobody speaks TLS.
_NO_TLS: Final = {"WRONG_VERSION_NUMBER", "UNEXPECTED_EOF_WHILE_READING", "RECORD_LAYER_FAILURE"}


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and everything it came from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def no_answer(error: BaseException) -> str:
    """Why nobody answers, as the system says it where it does."""
    if isinstance(error, TimeoutError) and not error.args:
        return "it says nothing"
    for link in chain(error):
        if isinstance(link, OSError) and link.errno is not None:
            said = os.strerror(link.errno) if link.errno > 0 else link.strerror
            return said or type(link).__name__
    return _sentence(str(error)) or type(error).__name__


def tls_refusal(
    server: str, prefix: str, error: BaseException, *, with_certificate: bool
) -> ConfigurationError | None:
    """What an error means if TLS is behind it.

    Parameters
    ----------
    server : str
        As a sentence begins: `Kafka at broker:9092`.
    prefix : str
        Of the server's settings: `EVERSCORE_KAFKA`.
    error : BaseException
        As any client raised it.
    with_certificate : bool
        Whether we have a certificate of our own to show.

    Returns
    -------
    ConfigurationError or None
        None where it was not TLS.
    """
    found = next((link for link in chain(error) if isinstance(link, ssl.SSLError)), None)
    if found is None:
        return None
    if isinstance(found, ssl.SSLCertVerificationError):
        return _untrusted(server, prefix, found)
    reason = found.reason or ""
    if reason in _CERTIFICATE_ALERTS:
        if with_certificate:
            said = f"{server} refused our certificate: {_CERTIFICATE_ALERTS[reason]}."
            return ConfigurationError(
                said, hint=f"{prefix}_CERTIFICATE must be signed by a CA that it trusts."
            )
        return wants_certificate(server, prefix)
    if reason in _NO_TLS:
        return no_tls(server, prefix)
    said = reason.replace("_", " ").lower() or str(found)
    return ConfigurationError(f"{server} and we do not agree on TLS: {said}.")


def dislikes_certificate(server: str, prefix: str, *, with_certificate: bool) -> ConfigurationError:
    """The server hung up after the handshake: its reason, if it gave one, was lost on the way."""
    if not with_certificate:
        return wants_certificate(server, prefix)
    return ConfigurationError(
        f"{server} refused our certificate: it closes the connection when it has seen it.",
        hint=f"{prefix}_CERTIFICATE must be signed by a CA that it trusts, and not have expired.",
    )


def wants_certificate(server: str, prefix: str) -> ConfigurationError:
    """The server wants to see who we are."""
    return ConfigurationError(
        f"{server} wants to see a certificate of ours.",
        hint=f"Set {prefix}_CERTIFICATE and {prefix}_KEY.",
    )


def no_tls(server: str, prefix: str) -> ConfigurationError:
    """The server does not answer TLS in kind."""
    plain = (
        "EVERSCORE_REDIS begins with redis:// then"
        if prefix == "EVERSCORE_REDIS"
        else f"{prefix}_SECURITY is PLAINTEXT or SASL_PLAINTEXT then"
    )
    return ConfigurationError(
        f"{server} does not speak TLS on this port.",
        hint=f"Name its TLS port; or, if it has none, {plain}.",
    )


def _untrusted(server: str, prefix: str, error: ssl.SSLCertVerificationError) -> ConfigurationError:
    code = error.verify_code
    if code == _EXPIRED:
        return ConfigurationError(
            f"{server} shows a certificate that has expired.", hint="Have it renewed."
        )
    if code == _NOT_YET_VALID:
        return ConfigurationError(
            f"{server} shows a certificate that is not valid yet.", hint="Compare the clocks."
        )
    if code in {_OTHER_HOST, _OTHER_ADDRESS}:
        return ConfigurationError(
            f"{server} shows a certificate of another name.",
            hint=f"Write into {prefix} a name that the certificate bears, or have one made that "
            "bears this one.",
        )
    return ConfigurationError(
        f"{server} shows a certificate that we do not trust: {error.verify_message}.",
        hint=f"Name the CA that signed it in {prefix}_CA.",
    )


def redis_refusal(
    server: str, user: str | None, error: BaseException, *, with_certificate: bool
) -> ConfigurationError | None:
    """What an error of the Redis client means if Redis, or its TLS, turns us away.

    Parameters
    ----------
    server : str
        As a sentence begins: `Redis at redis://…`.
    user : str, optional
        As whom we came.
    error : BaseException
        As the client raised it.
    with_certificate : bool
        Whether we have a certificate of our own to show.

    Returns
    -------
    ConfigurationError or None
        None where it was something else.
    """
    said = str(error)
    who = f"user {user!r}" if user is not None else "us"
    if (
        isinstance(error, NoPermissionError)
        or "ACL failure in script" in said
        or (isinstance(error, ResponseError) and "executing the script can't" in said)
    ):
        keys = "The user's keys must begin with EVERSCORE_KEY_PREFIX. " if " key" in said else ""
        return ConfigurationError(
            f"{server} does not let {who} do that: {_sentence(said)}.",
            hint=f"{keys}ops/security/README.md says what each role needs.",
        )
    if isinstance(error, AuthenticationError) or said.startswith("NOAUTH"):
        return _unknown(server, who, said)
    if isinstance(error, ResponseError) and said.startswith("DENIED"):
        return ConfigurationError(
            f"{server} is in protected mode: it answers its own machine only.",
            hint="Give it a password.",
        )
    if isinstance(error, ResponseError) and "unknown command" in said and "HELLO" in said:
        return ConfigurationError(
            f"{server} is too old: it does not know HELLO.", hint="6.2 or later is needed."
        )
    if isinstance(error, InvalidResponse):
        return ConfigurationError(
            f"{server} does not answer as Redis does.", hint="Check address and port."
        )
    return tls_refusal(server, "EVERSCORE_REDIS", error, with_certificate=with_certificate)


def _unknown(server: str, who: str, said: str) -> ConfigurationError:
    if "without any password configured" in said or "no password is set" in said:
        return ConfigurationError(
            f"{server} asks for no password, and we sent one.",
            hint="Unset EVERSCORE_REDIS_PASSWORD, or give Redis one.",
        )
    if "invalid" in said:
        return ConfigurationError(
            f"{server} refused {who}: wrong user name or password.",
            hint="Check EVERSCORE_REDIS_USERNAME and EVERSCORE_REDIS_PASSWORD.",
        )
    return ConfigurationError(
        f"{server} asks for a password.",
        hint="Set EVERSCORE_REDIS_PASSWORD, and EVERSCORE_REDIS_USERNAME for an ACL user.",
    )


def _sentence(said: str) -> str:
    """What Redis said, on one line and without its last full stop."""
    return " ".join(said.split()).rstrip(".")
