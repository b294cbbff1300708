"""One API over sixty customers, who are counted once a session."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.api import Api, Counted, counted
from tests.support.purchases import cdnow_of


@pytest.fixture(scope="session")
def sixty() -> Counted:
    return asyncio.run(counted(cdnow_of(60)))


@pytest.fixture
async def api(tmp_path: Path, sixty: Counted) -> Api:
    made = await Api(tmp_path).start(sixty)
    await made.look()
    return made
