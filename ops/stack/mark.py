"""The file that makes a folder a local stack's: its ports, and whether it is behind locks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from schemas.errors import ConfigurationError

NAME = "stack.json"
_SECURE = "secure"


class StackMark:
    """The mark of one folder, which need not exist.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._folder = folder

    def _content(self) -> dict[str, int]:
        try:
            content: dict[str, int] = json.loads(self.path.read_text())
        except (OSError, ValueError):  # not started yet
            return {}
        return content

    @property
    def secure(self) -> bool:
        """Whether the stack was behind locks when last started."""
        return bool(self._content().get(_SECURE, False))

    def ports(self) -> dict[str, int]:
        """Ports by server, of last time or of now; none before the first start."""
        content = self._content()
        content.pop(_SECURE, None)
        return content

    def port(self, name: str) -> int:
        """The port of a server.

        Raises
        ------
        ConfigurationError
            The stack was never started.
        """
        port = self.ports().get(name)
        if port is None:
            raise ConfigurationError(f"The local stack in {self._folder} was never started.")
        return port

    def write(self, ports: Mapping[str, int], *, secure: bool) -> None:
        """Note how the stack is started now."""
        self.path.write_text(json.dumps({**ports, **({_SECURE: True} if secure else {})}))

    def take_folder(self) -> None:
        """Make the folder ours.

        Raises
        ------
        ConfigurationError
            It holds something else.
        """
        folder = self._folder
        if not self.path.exists() and folder.is_dir() and any(folder.iterdir()):
            raise ConfigurationError(
                f"{folder} holds something else than a local stack.",
                hint="Name an empty or a new folder.",
            )
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
