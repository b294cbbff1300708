"""An engine and the images for tests in containers; without them they say loudly why not."""

import os
from collections.abc import Callable, Iterator

import pytest

from ops.stack.engine import running_engine
from ops.stack.images.stand_ins import ensure_images
from schemas.errors import ConfigurationError
from tests.support.compose_project import compose_command


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """A line for whoever watches, in the middle of the tests: an image takes its time."""
    plugins = request.config.pluginmanager
    terminal, capture = plugins.get_plugin("terminalreporter"), plugins.get_plugin("capturemanager")

    def line(text: str) -> None:
        with capture.global_and_fixture_disabled():
            terminal.ensure_newline()
            terminal.write_line(f"  {text}")

    return line


@pytest.fixture(scope="session")
def images(say: Callable[[str], None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An engine that answers and every image under its name."""
    try:
        with running_engine(tmp_path_factory.mktemp("engine") / "dockerd.log"):
            compose_command()
            ensure_images(say)
            yield
    except ConfigurationError as error:
        why = f"NOT TESTED in containers: {error}"
        if os.environ.get("REQUIRE_DOCKER"):
            pytest.fail(why, pytrace=False)
        pytest.skip(why)
