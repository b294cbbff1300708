"""What the API says of the scorecard's fit, of drift and of the candidate: in /service and to Prometheus."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ops.api.policy import Role
from schemas.learning import Drift, Fit, Learning, Shadow
from scoring.bootstrap import bootstrap_scorecard
from tests.support.api import Api

AT = datetime(2026, 11, 20, tzinfo=UTC)
FOUND = Learning(
    version="bootstrap-0",
    customers=200,
    fit=Fit(
        looked_at=AT,
        inertia_per_customer=0.5,
        inertia_share_at_first=0.2,
        inertia_ratios=(1.0, 1.25),
        excesses=(0.1, -0.5),
        promised_buyers=92.3,
        actual_buyers=46,
        over_days=7.0,
        drifts=(Drift(kind="inertia", at=AT), Drift(kind="calibration", at=AT)),
    ),
    shadow=Shadow(
        card=bootstrap_scorecard(),
        judged_at=AT,
        customers=200,
        gain=0.02,
        moved=12,
        moved_by_parameters=3,
        moves=((1,),),
        reason="",
    ),
)


def measured(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


async def test_service_and_metrics_say_what_the_learner_found(api: Api) -> None:
    await api.store.save_learning(FOUND.model_dump_json().encode())
    await api.look()
    card = (await api.get("/service", Role.ADMIN)).json()["scorecard"]
    assert card["fit"]["inertia_ratio"] == 1.25
    assert card["fit"]["buyers_excess"] == -0.5
    assert card["fit"]["drifts"] == ["inertia", "calibration"]
    assert card["shadow"] == {
        "judged_at": "2026-11-20T00:00:00Z",
        "customers": 200,
        "moved": 12,
        "gain": 0.02,
    }
    found = measured((await api.get("/metrics", Role.ADMIN)).text)
    assert found["everscore_scorecard_inertia_ratio"] == 1.25
    assert found["everscore_scorecard_buyers_excess"] == -0.5
    assert found['everscore_scorecard_drifts{kind="inertia"}'] == 1
    assert found["everscore_shadow_moved_share"] == pytest.approx(0.06)
    assert found["everscore_shadow_gain"] == 0.02


@pytest.mark.parametrize(
    "kept", [None, b"{}", FOUND.model_copy(update={"version": "x"}).model_dump_json().encode()]
)
async def test_what_is_not_about_the_scorecard_in_use_is_not_said(api: Api, kept) -> None:
    if kept is not None:
        await api.store.save_learning(kept)
    await api.look()
    card = (await api.get("/service", Role.ADMIN)).json()["scorecard"]
    assert (card["fit"], card["shadow"]) == (None, None)
