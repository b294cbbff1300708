"""The oracle that fits a contender, asked after each run: only what it agrees with is quoted."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import msgspec

from ops.bench.baselines.task import PACKED
from ops.bench.contenders import EVERSCORE, card
from ops.bench.everscore_oracle import (
    Histories,
    compare_counters,
    compare_customers,
    compare_histories,
    expect_histories,
)
from ops.bench.evidence import read_changes, read_hashes, read_packed
from ops.bench.installation import Installation
from ops.bench.job import PARTITIONS, Job
from ops.bench.plain_oracle import (
    Expected,
    compare_changes,
    compare_hashes,
    compare_packed,
    expect,
)
from ops.bench.verdict import Verdict
from scoring.bootstrap import bootstrap_scorecard


class Oracles:
    """Both oracles of one job; what they expect is worked out once."""

    def __init__(self, job: Job) -> None:
        self._job = job

    @cached_property
    def _plain(self) -> dict[str, Expected]:
        return expect(self._job, msgspec.to_builtins(card()))

    @cached_property
    def _histories(self) -> Histories:
        return expect_histories(self._job, bootstrap_scorecard().model_dump(mode="json"))

    def judge(self, installation: Installation) -> Verdict:
        """Compare what a contender that has ended leaves behind."""
        verdict = Verdict()
        settings = installation.settings
        changes = read_changes(settings.kafka, settings.changes_topic)
        if installation.contender is EVERSCORE:
            compare_counters(self._job, _counters(installation), verdict)
            topic = settings.transactions_topic
            compare_customers(self._histories, read_hashes(installation.redis), topic, verdict)
            compare_histories(self._histories, changes, verdict)
        elif installation.contender.tells:
            compare_hashes(self._plain, read_hashes(installation.redis), verdict)
            compare_changes(self._plain, changes, verdict)
        else:
            packed = ((c, PACKED.unpack(value)) for c, value in read_packed(installation.redis))
            compare_packed(self._plain, packed, verdict)
        return verdict


def _counters(installation: Installation) -> list[Mapping[str, str]]:
    found: list[Mapping[str, str]] = []
    for partition in range(PARTITIONS):
        fields: Any = installation.redis.hgetall(installation.settings.keys.partition(partition))
        found.append({name.decode(): value.decode() for name, value in fields.items()})
    return found
