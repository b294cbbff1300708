"""Partitions verified side by side, each by an `everscore verify` of its own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence

import msgspec

from ops.verify.compare import Verdict
from schemas.errors import PipelineError


class VerificationError(PipelineError):
    """A process that was to verify a partition has said something else."""


class _Report(msgspec.Struct):
    partitions: list[Verdict]


_decode = msgspec.json.Decoder(_Report).decode
_COMPARED = {0, 1}  # exit codes: all well; something differs


async def verify_side_by_side(
    partitions: Sequence[int], jobs: int, tick: Callable[[int], None]
) -> list[Verdict]:
    """Verify partitions, so many at a time; `tick` hears of each how many records it had.

    Raises
    ------
    VerificationError
        With the last line of what a process had to say.
    """
    turns = asyncio.Semaphore(jobs)

    async def verify(partition: int) -> Verdict:
        async with turns:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "ops.cli.main", "verify", "--json"),
                *("--partition", str(partition)),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            try:
                found, said = await process.communicate()
            finally:
                if process.returncode is None:
                    process.terminate()
                    await process.wait()
        if process.returncode not in _COMPARED or not found:
            lines = said.decode(errors="replace").strip().splitlines() or ["nothing"]
            raise VerificationError(f"partition {partition}: {lines[-1].removeprefix('error ')}")
        (verdict,) = _decode(found).partitions
        tick(verdict.records)
        return verdict

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(verify(partition)) for partition in partitions]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
