"""`python -m ops.stack.images`: build stand-ins for the images that are not here."""

from __future__ import annotations

import sys

from ops.stack.images.stand_ins import ensure_images
from schemas.errors import ConfigurationError

EXIT_CONFIG = 78  # of sysexits.h


def main() -> int:
    """Say what is done as it is done; exit code 78 if it cannot be."""
    try:
        ensure_images(_say)
    except ConfigurationError as error:
        _say(f"error {error}")
        return EXIT_CONFIG
    return 0


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
