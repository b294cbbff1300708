"""A certificate authority of one's own, and what it signs: servers by name, clients by user.

Owns keys and certificates as PEM. Writes no files.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from schemas.errors import ConfigurationError

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 825  # the longest that Apple's clients accept
# Clocks of one network differ: valid a little before it was made.
_EARLIER = timedelta(minutes=5)
_NAME_CHARS_MAX = 64  # of a common name, by X.509
_HOST_NAME = re.compile(r"(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?")
_CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its private key, both PEM, the key in PKCS #8 as Kafka wants it."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return "Certificate(…)"


class Authority:
    """A certificate authority.

    Parameters
    ----------
    own : Certificate
        Its certificate and key, as `create` makes them.
    """

    def __init__(self, own: Certificate) -> None:
        self.own = own
        self._certificate = x509.load_pem_x509_certificate(own.certificate)
        self._key = load_pem_private_key(own.key, password=None)

    @classmethod
    def create(cls, name: str, *, now: datetime | None = None) -> Self:
        """A new authority that trusts itself.

        Parameters
        ----------
        name : str
            For people; nothing depends on it.
        now : datetime, optional
            When it becomes valid; the present by default.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, AUTHORITY_DAYS, now).issuer_name(_subject(name))
        builder = builder.public_key(key.public_key())
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        usage = _key_usage(certificates=True)
        for extension, critical in (
            (x509.BasicConstraints(ca=True, path_length=0), True),
            (usage, True),
            (identifier, False),
        ):
            builder = builder.add_extension(extension, critical=critical)
        signed = builder.sign(key, hashes.SHA256())
        return cls(Certificate(signed.public_bytes(Encoding.PEM), _pem(key, NoEncryption())))

    def issue_server(
        self,
        names: Iterable[str],
        *,
        days: float = CERTIFICATE_DAYS,
        now: datetime | None = None,
        also_client: str | None = None,
    ) -> Certificate:
        """A certificate for a server.

        Parameters
        ----------
        names : iterable of str
            Host names and addresses clients know it by, at least one.
        days : float
            How long it is valid.
        now : datetime, optional
            When it becomes valid; the present by default.
        also_client : str, optional
            The user it is when it calls others of its like, as Kafka's brokers do.
        """
        alternatives = [_general_name(name) for name in names]
        if not alternatives:
            raise ConfigurationError("a server's certificate needs a name.")
        owner = also_client or str(alternatives[0].value)[:_NAME_CHARS_MAX]
        return self._issue(
            owner,
            [ExtendedKeyUsageOID.SERVER_AUTH, *([_CLIENT] if also_client else [])],
            days,
            now,
            None,
            alternatives=alternatives,
        )

    def issue_client(
        self,
        user: str,
        *,
        days: float = CERTIFICATE_DAYS,
        now: datetime | None = None,
        password: str | None = None,
    ) -> Certificate:
        """A certificate for a user; servers call them `CN=<user>`.

        Parameters
        ----------
        user : str
        days : float
            How long it is valid.
        now : datetime, optional
            When it becomes valid; the present by default.
        password : str, optional
            The key is encrypted with it.
        """
        return self._issue(user, [_CLIENT], days, now, password)

    def _issue(
        self,
        name: str,
        purposes: list[x509.ObjectIdentifier],
        days: float,
        now: datetime | None,
        password: str | None,
        *,
        alternatives: list[x509.GeneralName] | None = None,
    ) -> Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, days, now).issuer_name(self._certificate.subject)
        builder = builder.public_key(key.public_key())
        issuer = self._key.public_key()
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_key_usage(certificates=False), True),
            (x509.ExtendedKeyUsage(purposes), False),
            (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), False),  # type: ignore[arg-type]
        ]
        if alternatives:
            extensions.append((x509.SubjectAlternativeName(alternatives), False))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        signed = builder.sign(self._key, hashes.SHA256())  # type: ignore[arg-type]
        encryption = NoEncryption() if password is None else _encryption(password)
        return Certificate(signed.public_bytes(Encoding.PEM), _pem(key, encryption))

    def signed(self, certificate: bytes) -> bool:
        """Whether a certificate in PEM is one of ours."""
        found = x509.load_pem_x509_certificate(certificate)
        try:
            found.verify_directly_issued_by(self._certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True


def names_of(certificate: bytes) -> list[str]:
    """Host names and addresses of a server's certificate in PEM."""
    found = x509.load_pem_x509_certificate(certificate)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in names]


def expires_at(certificate: bytes) -> datetime:
    """Until when a certificate in PEM is valid."""
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc


def _builder(name: str, days: float, now: datetime | None) -> x509.CertificateBuilder:
    begins = (now or datetime.now(UTC)) - _EARLIER
    return (
        x509.CertificateBuilder()
        .subject_name(_subject(name))
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + _EARLIER + timedelta(days=days))
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    if not _HOST_NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} is neither a host name nor an address.",
            hint="Names beyond ASCII are written as xn--….",
        )
    return x509.DNSName(name)


def _key_usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _encryption(password: str) -> KeySerializationEncryption:
    return BestAvailableEncryption(password.encode())


def _pem(key: ec.EllipticCurvePrivateKey, encryption: KeySerializationEncryption) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
