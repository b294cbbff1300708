"""The tables of `ops/security/README.md`, written from the roles: `python -m ops.security.document`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from ops.security.roles import (
    KAFKA_GRANTS,
    MEANING,
    REDIS_GRANTS,
    KafkaGrant,
    Role,
    name_of,
    redis_rules,
)
from state.keys import Keys
from streams.settings import Settings

README = Path(__file__).with_name("README.md")
_SECTION = re.compile(r"(<!-- (\w+): written by .*? -->\n).*?(<!-- end -->)", re.DOTALL)
_ACLS = "kafka-acls.sh --bootstrap-server BROKER:9093 --command-config admin.properties --add"


def roles_table() -> Iterator[str]:
    """Every role and who takes it."""
    yield "| role | who |"
    yield "|---|---|"
    for role, meaning in MEANING.items():
        yield f"| `{role}` | {meaning} |"


def kafka_table() -> Iterator[str]:
    """Every grant on Kafka."""
    yield "| role | resource | operations |"
    yield "|---|---|---|"
    for grant in KAFKA_GRANTS:
        operations = ", ".join(grant.operations)
        yield f"| `{grant.role}` | {_resource(grant)} | {operations} |"


def kafka_commands() -> Iterator[str]:
    """The same as commands of Kafka's own tool."""
    yield "```sh"
    for grant in KAFKA_GRANTS:
        pattern = " --resource-pattern-type prefixed" if grant.prefixed else ""
        # The tool knows an operation of two words by this spelling only.
        spelt = ("".join(map(str.capitalize, name.split("_"))) for name in grant.operations)
        operations = " ".join(f"--operation {operation}" for operation in spelt)
        yield f"{_ACLS} \\"
        yield (
            f"  --allow-principal User:{grant.role} --{grant.kind} {_name(grant)}{pattern} {operations}"
        )
    yield "```"


def redis_table() -> Iterator[str]:
    """Every grant on Redis."""
    yield "| role | commands |"
    yield "|---|---|"
    yield f"| `{Role.ADMIN}` | all |"
    for grant in REDIS_GRANTS:
        yield f"| `{grant.role}` | {_escaped(grant.commands)} |"


def redis_commands() -> Iterator[str]:
    """The same as commands of Redis."""
    yield "```"
    yield "ACL SETUSER default off"
    for role in Role:
        rules = redis_rules(role, Keys())
        if rules:
            yield f"ACL SETUSER {role} on #SHA256-OF-ITS-PASSWORD {' '.join(rules)}"
    yield "```"


def _escaped(commands: tuple[str, ...]) -> str:
    """Commands in a cell of a table, where a bar would end it."""
    return ", ".join(commands).replace("|", r"\|")


def _name(grant: KafkaGrant) -> str:
    return name_of(grant, Settings.model_construct())


def _resource(grant: KafkaGrant) -> str:
    begins = " and whatever begins so" if grant.prefixed else ""
    return f"{grant.kind} `{_name(grant)}`{begins}"


SECTIONS: dict[str, Callable[[], Iterator[str]]] = {
    "roles": roles_table,
    "kafka": kafka_table,
    "kafka_commands": kafka_commands,
    "redis": redis_table,
    "redis_commands": redis_commands,
}


def written(text: str) -> str:
    """A README with its sections as the roles say."""
    return _SECTION.sub(
        lambda found: found[1] + "\n".join(SECTIONS[found[2]]()) + "\n" + found[3], text
    )


if __name__ == "__main__":
    README.write_text(written(README.read_text(encoding="utf-8")), encoding="utf-8")
