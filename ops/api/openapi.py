"""Writes the description of the API to `ops/api/openapi.json`; `make schemas` calls it."""

from __future__ import annotations

import json
from pathlib import Path

from ops.api.app import build_app
from ops.api.changes_memory import ChangesMemory
from ops.api.metrics import Metrics
from ops.api.settings import ApiSettings
from ops.api.start import join
from ops.api.watch import Ends, Watch
from ops.lookup import Lookup
from state.memory_store import MemoryStore
from streams.settings import Settings

FILE = Path(__file__).with_name("openapi.json")


def rendered() -> str:
    """What should stand in the file; asks no server."""
    own = ApiSettings.model_construct(authentication=False, keys=Path("none"))
    lookup, metrics = Lookup(MemoryStore(), Settings.model_construct()), Metrics()

    async def no_ends(_partitions: int) -> Ends | None:
        return None

    memory = ChangesMemory(own.changes_max)
    service = join(own, lookup, memory, metrics, Watch(lookup, no_ends, metrics))
    document = build_app(service).openapi()
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    FILE.write_text(rendered(), encoding="utf-8")
