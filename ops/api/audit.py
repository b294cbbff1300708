"""Who looked whom up: a JSON line for every answer about customers, written before it is given.

Customers stand in it under their pseudonyms: whoever may ask for a customer can compute theirs, and
nothing in it has to be erased with them. What cannot be written down is not answered.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import Path

from ops.api.keys import ApiKey
from ops.api.settings import STDOUT
from schemas.errors import PipelineError


class AuditError(PipelineError):
    """A look-up cannot be written down."""

    retriable = True


class AuditLog:
    """One file, or stdout; several processes may share a file.

    Parameters
    ----------
    path : Path
        `-` for stdout.
    alone : callable, optional
        Context in which no other process writes to the same stdout: a long line to a pipe comes in pieces.
    """

    def __init__(
        self, path: Path, alone: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> None:
        self._path = path
        self._alone = alone

    def note(
        self,
        at: datetime,
        key: ApiKey,
        request_id: str,
        action: str,
        pseudonyms: Sequence[str],
        **more: object,
    ) -> None:
        """Write one line.

        Parameters
        ----------
        at : datetime
        key : ApiKey
            Who.
        request_id : str
        action : str
            What for, such as `customer` or `history`.
        pseudonyms : sequence of str
            Whom.
        more
            What else is to be remembered.

        Raises
        ------
        AuditError
            It cannot be written.
        """
        line = json.dumps(
            {
                "at": at.isoformat().replace("+00:00", "Z"),
                "key": key.id,
                "name": key.name,
                "role": key.role.value,
                "request": request_id,
                "action": action,
                "customers": list(pseudonyms),
                **more,
            }
        )
        try:
            if self._path == STDOUT:
                with self._alone():
                    sys.stdout.write(f"{line}\n")
                    sys.stdout.flush()
                return
            # Opened for every line, so that a log that was rotated away is not written to.
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(handle, f"{line}\n".encode())
            finally:
                os.close(handle)
        except OSError as error:
            raise AuditError(f"cannot write audit log {self._path}: {error}") from error
