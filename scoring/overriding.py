"""Applying an operator's overrides to a scorecard that was just made."""

from __future__ import annotations

from schemas.errors import ConfigurationError
from schemas.overrides import Overrides
from schemas.scorecard import LifecycleThresholds, Scorecard


def overridden(card: Scorecard, overrides: Overrides) -> Scorecard:
    """The scorecard as the operator wants it.

    Names and labels are always those of the overrides, or by default; thresholds, margin and cut points
    stay as they are where the overrides say nothing.

    Parameters
    ----------
    card : Scorecard
        Overridden before or not: which segment is which, `identities` tells.
    overrides : Overrides

    Raises
    ------
    ConfigurationError
        The thresholds do not go together with the scorecard's own.

    Examples
    --------
    >>> from scoring.bootstrap import bootstrap_scorecard
    >>> wishes = Overrides.model_validate({"segments": {"At-Risk": {"name": "Win back"}}})
    >>> card = overridden(bootstrap_scorecard(), wishes)
    >>> card.segments
    ('Champions', 'Loyal', 'Win back', 'Hibernating')
    >>> overridden(card, Overrides()) == bootstrap_scorecard()
    True
    """
    identities = card.identities
    wishes = [overrides.segments.get(name) for name in identities]
    segments = tuple(
        default if wish is None or wish.name is None else wish.name
        for default, wish in zip(identities, wishes, strict=True)
    )
    offers = tuple(None if wish is None else wish.offer for wish in wishes)
    rfm = overrides.rfm.model_dump(exclude_none=True)
    return card.model_copy(
        update={
            "segments": segments,
            "default_segments": None if segments == identities else identities,
            "offers": offers if any(offers) else None,
            "lifecycle": _lifecycle(card, overrides),
            "hysteresis": card.hysteresis if overrides.hysteresis is None else overrides.hysteresis,
            "rfm": card.rfm.model_copy(update=rfm),
        }
    )


def _lifecycle(card: Scorecard, overrides: Overrides) -> LifecycleThresholds:
    wanted = overrides.lifecycle
    fading = card.lifecycle.fading if wanted.fading is None else wanted.fading
    lost = card.lifecycle.lost if wanted.lost is None else wanted.lost
    if not lost < fading:
        key, given = ("fading", fading) if wanted.lost is None else ("lost", lost)
        other, kept = ("lost", lost) if wanted.lost is None else ("fading", fading)
        raise ConfigurationError(
            f"overrides: lifecycle.{key} {given:g} does not go together with {other} {kept:g}, which "
            "is not overridden: lost must lie below fading.",
            hint=f"Override lifecycle.{other}, too.",
        )
    return LifecycleThresholds(fading=fading, lost=lost)
