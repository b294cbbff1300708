"""Check of the operator's overrides: whether the file can be read, and what it says."""

from __future__ import annotations

from ops.doctor.finding import Finding, Mend, Verdict
from schemas.errors import ConfigurationError
from schemas.overrides import Overrides
from streams.overrides import first_scorecard, read_overrides
from streams.settings import Settings

_NAME = "overrides.file"


def check_overrides(settings: Settings) -> Finding | None:
    """What a scorecard made now would be told; None where no file is named."""
    if settings.overrides is None:
        return None
    try:
        overrides = read_overrides(settings.overrides)
        first_scorecard(settings)
    except ConfigurationError as error:
        hint = error.hint or ""
        found = str(error).removesuffix(hint).strip()
        return Finding(_NAME, Verdict.FAIL, found, (Mend(hint),) if hint else ())
    said = ", ".join(_wishes(overrides)) or "nothing is overridden"
    return Finding(_NAME, Verdict.OK, said, values=overrides.model_dump(exclude_none=True))


def _wishes(overrides: Overrides) -> list[str]:
    said = []
    for default, wish in overrides.segments.items():
        if wish.name is not None:
            said.append(f"{default} is called {wish.name}")
        if wish.offer is not None:
            said.append(f"{default} is offered {wish.offer}")
    for step in ("fading", "lost"):
        below = getattr(overrides.lifecycle, step)
        if below is not None:
            said.append(f"{step} below {below:g}")
    if overrides.hysteresis is not None:
        said.append(f"margin {overrides.hysteresis:g}")
    cuts = overrides.rfm.model_dump(exclude_none=True)
    said += [
        f"{name} cut at {', '.join(f'{cut:g}' for cut in four)}" for name, four in cuts.items()
    ]
    return said
