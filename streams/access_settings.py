"""Settings of who we are to Kafka and Redis, and how we know that they are they.

Owns what goes together and what does not. Secrets are `SecretStr`, and a Redis URL gives up those
it carries before anybody sees it: what is printed, logged or raised cannot contain one.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

KafkaSecurity = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

SECRETS_VARIABLE = "EVERSCORE_SECRETS"
_FILES = ("ca", "certificate", "key")
_BROKER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s,:\[\]/@]+)(:[0-9]{1,5})?")
_ENCODE = "a password with / ? # or @ goes into EVERSCORE_REDIS_PASSWORD, or is percent-encoded"
# What a Redis URL may carry in its query, and the setting it belongs to.
_URL_SECRETS = {"username": "username", "password": "password", "ssl_password": "key_password"}


class AccessSettings(BaseSettings):
    """Addresses, names, passwords and certificates."""

    model_config = SettingsConfigDict(
        env_prefix="EVERSCORE_",
        env_ignore_empty=True,  # compose files pass on what is not set as empty
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    kafka: str = Field("127.0.0.1:9092", description="Bootstrap servers, host:port,host:port.")
    redis: str = Field("redis://127.0.0.1:6379/0", description="Redis URL; rediss:// for TLS.")
    secrets: Path | None = Field(
        None,
        description="Folder with a file per setting, named like its variable, as container "
        "secrets are: for passwords. A variable comes before its file.",
    )

    kafka_security: KafkaSecurity = Field(
        "PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."
    )
    kafka_sasl_mechanism: SaslMechanism = Field(
        "SCRAM-SHA-512", description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."
    )
    kafka_username: str | None = Field(None, description="For SASL.")
    kafka_password: SecretStr | None = Field(None, description="For SASL.")
    kafka_ca: Path | None = Field(
        None, description="Who vouches for the brokers, PEM; else whom this machine trusts."
    )
    kafka_certificate: Path | None = Field(None, description="Of this client, PEM, for mTLS.")
    kafka_key: Path | None = Field(None, description="Private key of the certificate, PEM.")
    kafka_key_password: SecretStr | None = Field(None, description="Of the key, if it has one.")

    redis_username: str | None = Field(
        None, description="ACL user; what the URL carries comes first."
    )
    redis_password: SecretStr | None = Field(
        None, description="Of the user; what the URL carries comes first."
    )
    redis_ca: Path | None = Field(
        None, description="Who vouches for Redis, PEM; else whom this machine trusts."
    )
    redis_certificate: Path | None = Field(None, description="Of this client, PEM, for mTLS.")
    redis_key: Path | None = Field(None, description="Private key of the certificate, PEM.")
    redis_key_password: SecretStr | None = Field(None, description="Of the key, if it has one.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Add the folder of secrets, which is known only when settings are read."""
        folder = os.environ.get(SECRETS_VARIABLE)
        if not folder or not Path(folder).expanduser().is_dir():  # `_readable_folder` says so
            return init_settings, env_settings
        return init_settings, env_settings, SecretsSettingsSource(settings_cls, folder)

    @model_validator(mode="before")
    @classmethod
    def _take_credentials_out_of_the_url(cls, given: Any) -> Any:
        if not isinstance(given, dict) or not isinstance(given.get("redis"), str):
            return given
        url, carried = without_credentials(given["redis"])
        return given | {"redis": url} | {f"redis_{name}": text for name, text in carried.items()}

    @field_validator("kafka")
    @classmethod
    def _brokers(cls, bootstrap: str) -> str:
        for server in bootstrap.split(","):
            if not _BROKER.fullmatch(server.strip()):
                raise ValueError(f"{server!r} is not host:port; several are joined by commas")
        return bootstrap

    @field_validator("secrets")
    @classmethod
    def _readable_folder(cls, folder: Path | None) -> Path | None:
        if folder is None:
            return None
        folder = folder.expanduser()
        if not folder.is_dir():
            raise ValueError(f"{folder} is not a folder")
        if not os.access(folder, os.R_OK | os.X_OK):
            raise ValueError(f"{folder} is not readable by this user")
        return folder

    @field_validator(*(f"{server}_{file}" for server in ("kafka", "redis") for file in _FILES))
    @classmethod
    def _readable_file(cls, path: Path | None) -> Path | None:
        if path is None:
            return None
        path = path.expanduser()
        try:
            path.open("rb").close()
        except OSError as error:
            raise ValueError(f"cannot read {path}: {error.strerror}") from None
        return path

    @field_validator("kafka_username", "redis_username")
    @classmethod
    def _printable(cls, name: str | None, info: ValidationInfo) -> str | None:
        if name is not None and not name.isprintable():
            raise ValueError(f"{name!r} has characters that no user name has")
        return name

    @model_validator(mode="after")
    def _kafka_settings_fit_together(self) -> Self:
        security = self.kafka_security
        if security.startswith("SASL"):
            if self.kafka_username is None or self.kafka_password is None:
                missing = "USERNAME" if self.kafka_username is None else "PASSWORD"
                raise ValueError(
                    f"EVERSCORE_KAFKA_SECURITY is {security}, so EVERSCORE_KAFKA_{missing} must be "
                    "set, as a variable or as a file of that name in EVERSCORE_SECRETS"
                )
        elif self.kafka_username is not None:
            raise ValueError(
                f"EVERSCORE_KAFKA_USERNAME is set, but EVERSCORE_KAFKA_SECURITY is {security}, "
                "which asks for no name; set it to SASL_SSL, or unset the name"
            )
        self._pair("kafka")
        if not security.endswith("SSL"):
            self._refuse_files(
                "kafka", f"EVERSCORE_KAFKA_SECURITY is {security}", "SSL or SASL_SSL"
            )
        return self

    @model_validator(mode="after")
    def _redis_settings_fit_together(self) -> Self:
        if self.redis_username is not None and self.redis_password is None:
            raise ValueError(
                "EVERSCORE_REDIS_USERNAME is set, so EVERSCORE_REDIS_PASSWORD must be set, as a "
                "variable or as a file of that name in EVERSCORE_SECRETS"
            )
        self._pair("redis")
        if not self.redis.startswith("rediss://"):
            self._refuse_files("redis", f"EVERSCORE_REDIS is {self.redis}", "a rediss:// URL")
        return self

    def _pair(self, server: str) -> None:
        certificate, key = (getattr(self, f"{server}_{name}") for name in ("certificate", "key"))
        if (certificate is None) != (key is None):
            there, missing = ("CERTIFICATE", "KEY") if key is None else ("KEY", "CERTIFICATE")
            prefix = f"EVERSCORE_{server.upper()}_"
            raise ValueError(f"{prefix}{there} is set, so {prefix}{missing} must be set too")

    def _refuse_files(self, server: str, found: str, wanted: str) -> None:
        """A connection that is not encrypted must not look as if it were."""
        for name in _FILES:
            if getattr(self, f"{server}_{name}") is not None:
                variable = f"EVERSCORE_{server.upper()}_{name.upper()}"
                raise ValueError(f"{variable} is set, but {found}; it needs {wanted}")


# Settings of who has no name, no certificate, and no address in particular.
STRANGER = {name: field.default for name, field in AccessSettings.model_fields.items()}
SECRET_FIELDS = frozenset(
    name
    for name, field in AccessSettings.model_fields.items()
    if field.annotation == SecretStr | None
)


def without_credentials(url: str) -> tuple[str, dict[str, str]]:
    """A Redis URL without user, password and key password, and those it carried.

    Parameters
    ----------
    url : redis://, rediss:// or unix:// URL

    Returns
    -------
    tuple of str and dict
        The dict has some of `username`, `password` and `key_password`.

    Raises
    ------
    ValueError
        It is no such URL; the message does not show what could be a password.

    Examples
    --------
    >>> without_credentials("rediss://worker:s%40fe@redis:6380/0?ssl_password=too&db=1")
    ('rediss://redis:6380/0?db=1', {'username': 'worker', 'password': 's@fe', 'key_password': 'too'})
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        shown = "a port that is none" if "ort" in str(error) else "a host that is none"
        raise ValueError(f"EVERSCORE_REDIS has {shown}; {_ENCODE}") from None
    if parts.scheme not in {"redis", "rediss", "unix"}:
        raise ValueError(
            "EVERSCORE_REDIS does not begin with redis://, rediss:// (TLS) or unix://"
            + (f" (found {url!r})" if "@" not in url and "?" not in url else "")
        )
    user, _, server = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    carried = {"username": unquote(name), "password": unquote(password)}
    rest = []
    for field, text in parse_qsl(parts.query, keep_blank_values=True):
        if field in _URL_SECRETS:
            carried[_URL_SECRETS[field]] = text
        else:
            rest.append((field, text))
    bare = f"{parts.scheme}://{server}{parts.path}" + (f"?{urlencode(rest)}" if rest else "")
    if parts.fragment or "@" in unquote(bare):  # the rest of a password
        raise ValueError(f"EVERSCORE_REDIS is cut in two by a / ? or #; {_ENCODE}")
    return bare, {field: text for field, text in carried.items() if text}
