"""Who takes part: Everscore's worker, and what one would use instead.

Owns their names, how each is started and what it is told.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ops.bench.baselines.task import Card, Task
from ops.demo import child_environment
from ops.stack.processes import launcher
from schemas.errors import ConfigurationError
from scoring.bootstrap import bootstrap_scorecard
from streams.settings import Settings

REPOSITORY = Path(__file__).parents[2]
_BASELINES = "ops.bench.baselines"
_ASK_SECONDS_MAX = 60.0


@dataclass(frozen=True)
class Contender:
    """One of them.

    Attributes
    ----------
    name : str
        On the command line.
    title : str
        In the report.
    module : str or None
        Of a baseline; None is Everscore's own worker.
    engine : str or None
        The package it needs beyond those of everscore[embedded].
    tells : bool
        Whether it scores and tells changes.
    needs_real_kafka : bool
        Whether it creates topics, which the in-memory broker cannot.
    """

    name: str
    title: str
    module: str | None
    engine: str | None = None
    tells: bool = True
    needs_real_kafka: bool = False


EVERSCORE = Contender("everscore", "Everscore, all guarantees", None)
CONTENDERS = (
    EVERSCORE,
    Contender("confluent", "(a) confluent-kafka loop, numpy, pipelined HSETs", "confluent_loop"),
    Contender("bytewax", "(b) Bytewax", "bytewax_flow", "bytewax"),
    Contender("quix", "(c) Quix Streams", "quix_app", "quixstreams", needs_real_kafka=True),
    Contender("faust", "(d) stock Faust, `take`, numpy, pipelines", "faust_take"),
    Contender("limit", "(e) the limit: decode, one packed MSET per batch", "limit", tells=False),
)


def choose(names: Sequence[str]) -> tuple[Contender, ...]:
    """Contenders by name, in the order of the report; all if none is named.

    Raises
    ------
    ConfigurationError
        A name is nobody's.
    """
    known = {contender.name for contender in CONTENDERS}
    for name in names:
        if name not in known:
            raise ConfigurationError(
                f"{name!r} is no contender.", hint=f"They are {', '.join(sorted(known))}."
            )
    return tuple(c for c in CONTENDERS if not names or c.name in names)


class Engines:
    """The Python that has the engines: this one, or that of an environment of their own.

    Parameters
    ----------
    python : Path, optional
        Given by a person; without it this one.
    """

    def __init__(self, python: Path | None = None) -> None:
        # Not resolved: what a link in an environment points to does not know the environment.
        self.python = str(python.expanduser().absolute()) if python else sys.executable

    def without(self, contenders: Collection[Contender]) -> tuple[Contender, ...]:
        """Contenders whose engine it does not have.

        Raises
        ------
        ConfigurationError
            It cannot be asked.
        """
        wanted = {c.engine for c in contenders if c.engine is not None}
        if not wanted:
            return ()
        question = "import importlib.util as u, sys; print(*[n for n in sys.argv[1:] if not u.find_spec(n)])"
        try:
            answer = subprocess.run(  # noqa: S603 - our own words only
                [self.python, "-c", question, *sorted(wanted)],
                capture_output=True,
                text=True,
                timeout=_ASK_SECONDS_MAX,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise ConfigurationError(
                f"{self.python} does not say which engines it has: {error}.",
                hint="`make bench` prepares an environment that has them.",
            ) from None
        missing = set(answer.stdout.split())
        return tuple(c for c in contenders if c.engine in missing)

    def start(
        self, contender: Contender, settings: Settings, redis_port: int, folder: Path
    ) -> subprocess.Popen[bytes]:
        """One process, its log and its files in a folder.

        Parameters
        ----------
        settings : Settings
            Topics, group and servers, which all contenders are told.
        """
        environment = child_environment(settings) | {"PYTHONPATH": str(REPOSITORY)}
        if contender.module is None:
            words = [sys.executable, "-m", "ops.cli.main", "worker"]
        else:
            python = sys.executable if contender.engine is None else self.python
            task = msgspec.json.encode(_task(settings, redis_port, folder)).decode()
            words = [python, "-m", f"{_BASELINES}.{contender.module}", task]
            environment = {
                name: value
                for name, value in os.environ.items()
                if not name.startswith("EVERSCORE_")
            } | {"PYTHONPATH": str(REPOSITORY)}
        with (folder / "log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own words only
                [*launcher(), *words], env=environment, stdout=log, stderr=log, cwd=folder
            )


def _task(settings: Settings, redis_port: int, folder: Path) -> Task:
    return Task(
        kafka=settings.kafka,
        redis_port=redis_port,
        topic=settings.transactions_topic,
        changes_topic=settings.changes_topic,
        group=settings.group,
        folder=str(folder / "state"),
        card=card(),
    )


def card() -> Card:
    """The numbers that everybody scores by: those of Everscore's first scorecard."""
    numbers = bootstrap_scorecard()
    return Card(
        r=numbers.alive.r,
        alpha_days=numbers.alive.alpha_days,
        a=numbers.alive.a,
        b=numbers.alive.b,
        mean=numbers.scaler.mean,
        scale=numbers.scaler.scale,
        centroids=numbers.centroids,
        segments=numbers.segments,
    )
