"""What an operator's overrides make of a scorecard, and what a renamed segment still is."""

import numpy as np
import pytest

from schemas.errors import ConfigurationError
from schemas.overrides import NO_OVERRIDES, Overrides
from schemas.scorecard import LifecycleThresholds, Origin, Scorecard
from scoring.bootstrap import bootstrap_scorecard
from scoring.clusters import named
from scoring.overriding import overridden
from scoring.timeline import Timeline

CARD = bootstrap_scorecard()
ALL = Overrides.model_validate(
    {
        "segments": {
            "Champions": {"name": "VIP", "offer": "early-access"},
            "Hibernating": {"offer": "we-miss-you"},
            "Promising": {"name": "New"},
        },
        "lifecycle": {"fading": 0.6, "lost": 0.1},
        "hysteresis": 0.2,
        "rfm": {"frequency": [0, 2, 4, 8]},
    }
)


def test_published_json_says_all_that_was_wished_and_whose_segments_they_are():
    card = Scorecard.model_validate_json(overridden(CARD, ALL).model_dump_json())
    assert card.segments == ("VIP", "Loyal", "At-Risk", "Hibernating")
    assert card.identities == CARD.segments
    assert card.offers == ("early-access", None, None, "we-miss-you")
    assert card.lifecycle == LifecycleThresholds(fading=0.6, lost=0.1)
    assert (card.hysteresis, card.rfm.frequency) == (0.2, (0, 2, 4, 8))
    assert card.rfm.silence_days == CARD.rfm.silence_days
    assert card.centroids == CARD.centroids


def test_without_wishes_a_scorecard_is_what_it_was():
    assert overridden(CARD, NO_OVERRIDES) == CARD


def test_wish_that_changed_is_applied_to_the_default_names_and_not_to_the_last_wish():
    once = overridden(CARD, ALL)
    other = Overrides.model_validate({"segments": {"Champions": {"name": "Elite"}}})
    again = overridden(once, other)
    assert again.segments == ("Elite", "Loyal", "At-Risk", "Hibernating")
    assert again.offers is None
    assert overridden(once, NO_OVERRIDES).segments == CARD.segments


@pytest.mark.parametrize(
    ("wish", "said"),
    [({"fading": 0.15}, "lifecycle.fading 0.15"), ({"lost": 0.7}, "lifecycle.lost 0.7")],
)
def test_threshold_that_does_not_go_with_the_other_one_is_refused_with_both(wish, said):
    with pytest.raises(ConfigurationError, match=said):
        overridden(CARD, Overrides.model_validate({"lifecycle": wish}))


def test_refit_recognises_segments_whatever_they_are_called():
    card = overridden(CARD, ALL).model_copy(update={"origin": Origin.FITTED})
    before = np.array(card.centroids)
    names, centroids = named(card, before, before[::-1] + 0.01, card.scaler)
    assert names == CARD.segments
    assert np.abs(centroids - before).max() < 0.02


def test_customers_stay_in_a_segment_that_is_renamed():
    renamed = overridden(CARD, ALL).model_copy(update={"number": 1})
    timeline = Timeline([(0, CARD), (1, renamed)])
    assert timeline.translate(0).tolist() == [0, 1, 2, 3, -1]
    swapped = Overrides.model_validate(
        {"segments": {"Champions": {"name": "Loyal"}, "Loyal": {"name": "Champions"}}}
    )
    timeline = Timeline([(0, CARD), (1, overridden(CARD, swapped))])
    assert timeline.translate(0).tolist() == [0, 1, 2, 3, -1]
