"""How many instructions a purchase costs where neither Kafka nor Redis is: valgrind counts them.

A count says the same on a busy machine as on a quiet one, so that a slower worker is seen without a
stopwatch. Owns the counting, and the comparison with what was counted before (`KNOWN`).

All kernels are run on a few purchases, then again with one of them on more: the difference is free of
what starting Python costs. What is kept is its ratio to `ops.bench.kernels.reference`, counted likewise.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ops.bench.job import Job, make_job
from ops.bench.kernels import KERNELS, LARGE, SMALL, write_purchases
from schemas.errors import ConfigurationError

KNOWN = Path(__file__).with_name("instructions.json")
"""Instructions of each kernel in those of the reference, as last accepted."""
TOLERANCE = 0.1
"""Share by which a kernel may cost more than it did: what other libraries and processors change."""

_REFERENCE = "reference"
# Every fourth customer comes first: 4,000 purchases then span all of CDNOW's history.
_CUSTOMERS_STEP = 4
# So many that the millions of instructions by which two starts of Python differ are below a hundredth.
_FEW = {_REFERENCE: 200, "decode": 500, f"slices of {LARGE}": 500, f"slices of {SMALL}": 200}
_MANY = {
    _REFERENCE: 6_200,
    "decode": 16_500,
    f"slices of {LARGE}": 4_000,
    f"slices of {SMALL}": 1_400,
}
_TOTAL = re.compile(r"I\s+refs:\s+([\d,]+)")
_SECONDS_MAX = 600.0


@dataclass(frozen=True, slots=True)
class Counted:
    """One kernel.

    Attributes
    ----------
    instructions : float
        A purchase.
    ratio : float
        To those of the reference.
    known : float or None
        The ratio as last accepted; None if there is none.
    """

    name: str
    instructions: float
    ratio: float
    known: float | None

    @property
    def grown(self) -> bool:
        """Whether it costs more than it may."""
        return self.known is None or self.ratio > self.known * (1 + TOLERANCE)


def valgrind() -> str | None:
    """Where it is; None if it is not installed."""
    return shutil.which("valgrind")


def count_all() -> list[Counted]:
    """Count all kernels, the reference first.

    Raises
    ------
    ConfigurationError
        There is no valgrind, or a kernel failed in it.
    """
    with tempfile.TemporaryDirectory(prefix="everscore-") as folder:
        path = Path(folder, "purchases.json")
        write_purchases(path, rows_of(make_job(1)))
        few = _run(path, _FEW)
        each = {
            name: (_run(path, _FEW | {name: many}) - few) / (many - _FEW[name])
            for name, many in _MANY.items()
        }
    known = read_known() | {_REFERENCE: 1.0}
    unit = each[_REFERENCE]
    return [Counted(name, each[name], each[name] / unit, known.get(name)) for name in KERNELS]


def rows_of(job: Job) -> list[tuple[int, str, bytes]]:
    """Purchases of partition 0, as `write_purchases` takes them: of some customers first, then the rest."""
    customers = dict.fromkeys(job.customer_ids)
    first = set(list(customers)[::_CUSTOMERS_STEP])
    rows = [
        (int(purchase.occurred_at.timestamp() * 1_000), customer, value)
        for customer, purchase, value, partition in zip(
            job.customer_ids, job.purchases, job.values, job.partitions.tolist(), strict=True
        )
        if partition == 0
    ]
    return sorted(rows, key=lambda row: row[1] not in first)


def read_known() -> dict[str, float]:
    """The ratios last accepted, by kernel."""
    return {name: float(ratio) for name, ratio in json.loads(KNOWN.read_text()).items()}


def accept(found: Sequence[Counted]) -> None:
    """Keep these ratios as what a kernel costs."""
    ratios = {one.name: round(one.ratio, 3) for one in found if one.name != _REFERENCE}
    KNOWN.write_text(json.dumps(ratios, indent=2) + "\n")


def _run(path: Path, counts: Mapping[str, int]) -> int:
    """Instructions of one process that lets so many purchases through each kernel."""
    program = valgrind()
    if program is None:
        raise ConfigurationError(
            "There is no valgrind, which counts instructions.",
            hint="On Debian `make services` installs it.",
        )
    try:
        done = subprocess.run(  # noqa: S603 - our own words only
            [
                program,
                "--tool=cachegrind",
                "--cache-sim=no",
                "--cachegrind-out-file=/dev/null",
                sys.executable,
                "-m",
                "ops.bench.kernels",
                str(path),
                *(str(counts[name]) for name in KERNELS),
            ],
            env=_environment(),
            capture_output=True,
            text=True,
            timeout=_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigurationError(f"No count within {_SECONDS_MAX:.0f} s.") from error
    total = _TOTAL.search(done.stderr)
    if done.returncode != 0 or total is None:
        last = done.stderr.strip().splitlines()[-1:] or ["no word"]
        raise ConfigurationError(f"valgrind ended with {done.returncode}: {last[0]}")
    return int(total[1].replace(",", ""))


def _environment() -> dict[str, str]:
    """Without settings of ours; the order of sets and the number of threads would count, too."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EVERSCORE_")}
    return kept | {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}


def render(found: Sequence[Counted]) -> str:
    """A table for a terminal."""
    lines = [
        f"{'a purchase through':<20} {'instructions':>14} {'of the reference':>17} {'before':>8}"
    ]
    lines += [
        f"{one.name:<20} {one.instructions:>14,.0f} {one.ratio:>17.2f} "
        f"{'new' if one.known is None else f'{one.known:.2f}':>8}"
        + ("  <- more than it may" if one.grown else "")
        for one in found
    ]
    return "\n".join(lines)


def main() -> int:
    """Count, and compare or accept; 1 if something costs more than it may."""
    parser = argparse.ArgumentParser(prog="make instructions", description=__doc__)
    parser.add_argument("--accept", action="store_true", help="keep them as what it costs")
    asked = parser.parse_args()
    try:
        found = count_all()
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(render(found) + "\n")
    if asked.accept:
        accept(found)
        return 0
    return int(any(one.grown for one in found))


if __name__ == "__main__":
    raise SystemExit(main())
