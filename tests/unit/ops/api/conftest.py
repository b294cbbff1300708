"""One API over sixty customers, for tests that only ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.api import Api
from tests.support.purchases import cdnow_of


@pytest.fixture
async def api(tmp_path: Path) -> Api:
    made = await Api(tmp_path).start()
    await made.buy(*cdnow_of(60))
    return made
