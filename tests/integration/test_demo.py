"""The newcomer's first minute: the demo itself, as the README runs it."""

import os
import re
import subprocess
import sys

import pytest

from tests.support.installation import REPOSITORY

pytestmark = pytest.mark.integration


def test_demo_ends_by_itself_equal_to_lifetimes_for_every_customer():
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli.main", "demo"],
        cwd=REPOSITORY,
        env={**os.environ, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    shown = done.stdout
    assert "69,659 of 69,659 published" in shown
    assert "23,570 of 23,570 customers equal to lifetimes" in shown
    assert "gaps in their sequences: 0" in shown
    for cause in ("transaction", "silence", "scorecard"):
        assert re.search(rf"by {cause} +[1-9]", shown), cause
    for segment in ("Champions", "Loyal", "At-Risk", "Hibernating"):
        assert re.search(rf"{segment} +[1-9][\d,]* .*% of revenue", shown), segment
    assert "is At-Risk" in shown
    assert "What to try next" in shown
