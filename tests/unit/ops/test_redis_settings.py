"""Every Redis that we start keeps all it is given, in containers too."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import yaml

from ops.redis_settings import KEEPS_ALL

COMPOSE = Path(__file__).parents[3] / "docker-compose.yml"


def test_compose_tells_its_redis_the_same():
    command = yaml.safe_load(COMPOSE.read_text())["services"]["redis"]["command"]
    said = {name.removeprefix("--"): value for name, value in pairwise(command)}
    assert {name: said.get(name) for name in KEEPS_ALL} == KEEPS_ALL
