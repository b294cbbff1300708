"""A new scorecard for an installation at work, and whether everybody has been scored by it.

Publishes as the learner does. What came of it `everscore verify` checks: the oracle knows histories of
one scorecard only.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from ops.bench.contenders import REPOSITORY
from ops.bench.installation import Installation
from ops.bench.job import PARTITIONS
from ops.demo import child_environment
from schemas.errors import PipelineError
from schemas.scorecard import Origin, Scorecard
from scoring.bootstrap import bootstrap_scorecard
from streams.connections import redis_store
from streams.messages import scorecard_message
from streams.publisher import Publisher
from streams.settings import Settings

# Kept from others by this much, everybody's segment is weighed anew and most stay where they are.
_OTHER_CENTROIDS = ((0.7, 2.1, 0.0), (0.7, 0.4, 0.0), (0.3, 2.1, 0.0), (0.3, 0.4, 0.0))
_SAMPLE = 50
_PAGE = 2_000
_VERIFY_SECONDS_MAX = 3_600.0


class VerifyError(PipelineError):
    """`everscore verify` disagrees."""


def new_scorecard() -> Scorecard:
    """The first scorecard's successor."""
    return bootstrap_scorecard().model_copy(
        update={"number": 1, "origin": Origin.FITTED, "centroids": _OTHER_CENTROIDS}
    )


def publish_new_scorecard(installation: Installation) -> None:
    """In Kafka first, then in use."""
    asyncio.run(_publish(installation.settings, new_scorecard()))


async def _publish(settings: Settings, card: Scorecard) -> None:
    store, publisher = redis_store(settings), Publisher(settings)
    body = card.model_dump_json().encode()
    try:
        await store.save_scorecard(card.version, body, current=False)
        await publisher.publish([scorecard_message(card, settings)])
        await store.save_scorecard(card.version, body, current=True)
    finally:
        await publisher.stop()
        await store.close()


def rescored(installation: Installation) -> bool:
    """Whether every customer is scored by the new scorecard, and all that changed is told."""
    version = new_scorecard().version.encode()
    redis = installation.redis
    queues = [installation.settings.keys.due(partition) for partition in range(PARTITIONS)]
    for queue in queues:  # most looks end here: somebody of a sample still waits
        sample: Any = redis.zrandmember(queue, _SAMPLE)
        if not _all_by(installation, sample, version):
            return False
    for queue in queues:
        everybody: Any = redis.zrange(queue, 0, -1)
        if not _all_by(installation, everybody, version):
            return False
    return installation.published()


def _all_by(installation: Installation, members: Sequence[bytes], version: bytes) -> bool:
    for start in range(0, len(members), _PAGE):
        with installation.redis.pipeline(transaction=False) as pipe:
            for member in members[start : start + _PAGE]:
                pipe.hget(b"customer:" + member, "scorecard")
            if any(held != version for held in pipe.execute()):
                return False
    return True


def verify(installation: Installation) -> None:
    """Ask `everscore verify`.

    Raises
    ------
    VerifyError
        With what it says.
    """
    asked = subprocess.run(
        [sys.executable, "-m", "ops.cli.main", "verify"],
        env=child_environment(installation.settings),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=_VERIFY_SECONDS_MAX,
        check=False,
    )
    if asked.returncode != 0:
        raise VerifyError(f"everscore verify: {(asked.stdout + asked.stderr).strip()[-500:]}")
