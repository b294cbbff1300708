"""An API that begins before its first key."""

from __future__ import annotations

import httpx
import pytest

from ops.api.app import build_app
from ops.api.changes_memory import ChangesMemory
from ops.api.keys import KeyFile
from ops.api.metrics import Metrics
from ops.api.policy import Role
from ops.api.service import Service
from ops.api.settings import ApiSettings
from ops.api.start import join
from ops.api.watch import Watch
from ops.lookup import Lookup
from schemas.errors import ConfigurationError
from state.memory_store import MemoryStore
from tests.support.api import SETTINGS


async def no_ends(_partitions: int) -> None:
    return None


def joined(own: ApiSettings) -> Service:
    metrics = Metrics()
    lookup = Lookup(MemoryStore(), SETTINGS)
    return join(own, lookup, ChangesMemory(10), metrics, Watch(lookup, no_ends, metrics))


async def test_api_that_begins_without_keys_lets_nobody_in_until_there_is_one(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.api.keys._LOOK_SECONDS", 0.0)
    own = ApiSettings(keys=tmp_path / "keys.json", keys_later=True, audit=tmp_path / "audit")
    service = joined(own)
    transport = httpx.ASGITransport(build_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://everscore") as client:
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.get("/welcome")).status_code == 401
        made = KeyFile(own.keys)
        _, key = made.create("phone", Role.READER, now=service.now())
        shown = {"Authorization": f"Bearer {key}"}
        assert (await client.get("/welcome", headers=shown)).status_code == 200
    assert service.secret == made.pseudonym_secret


def test_api_that_is_not_told_to_wait_for_keys_says_how_to_make_one(tmp_path) -> None:
    with pytest.raises(ConfigurationError, match="everscore key create"):
        joined(ApiSettings(keys=tmp_path / "keys.json", audit=tmp_path / "audit"))
    assert list(tmp_path.iterdir()) == []
