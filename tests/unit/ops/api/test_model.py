"""The endpoints of older model services: their shapes, and what they say of wrong variables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scoring.alive import prob_alive
from scoring.bootstrap import bootstrap_scorecard
from tests.support.api import Api

GOOD = {"frequency": 30, "recency": 100, "T": 215}
RFM = {"recency": 15, "frequency": 12, "monetary": 540}


async def test_predict_answers_prob_alive_as_text(api: Api) -> None:
    response = await api.post("/predict", json=GOOD)
    assert response.status_code == 200
    answer = response.json()
    assert answer.keys() == {"code", "status", "data"}
    assert (answer["code"], answer["status"]) == (200, "success")
    expected = prob_alive(
        np.array([30]), np.array([100.0]), np.array([215.0]), bootstrap_scorecard().alive
    )
    assert isinstance(answer["data"]["prob_alive"], str)
    assert float(answer["data"]["prob_alive"]) == expected[0]


async def test_predict_of_one_who_was_just_here_is_near_one(api: Api) -> None:
    answer = await api.post("/predict", json={"frequency": 30, "recency": 214, "T": 215})
    assert answer.json()["data"]["prob_alive"].startswith("0.9")


async def test_segment_answers_cluster_name_and_what_was_given(api: Api) -> None:
    response = await api.post("/segment", json=RFM)
    assert response.status_code == 200
    assert response.json() == {"cluster": 0, "segment": "Champions", "input_data": RFM}
    gone = (await api.post("/segment", json=RFM | {"recency": 5_000})).json()
    assert (gone["cluster"], gone["segment"]) == (2, "At-Risk")


@pytest.mark.parametrize(
    ("path", "good", "name"),
    [("/predict", GOOD, name) for name in GOOD] + [("/segment", RFM, name) for name in RFM],
)
@pytest.mark.parametrize("value", [None, "12", True, [], {}, "missing", float(10**15), -(10.0**15)])
async def test_wrong_or_missing_variable_is_named(
    api: Api, path: str, good: dict, name: str, value: object
) -> None:
    body = {key: one for key, one in good.items() if key != name}
    if value != "missing":
        body[name] = value
    response = await api.post(path, json=body)
    assert response.status_code == 422
    answer = response.json()
    assert answer.keys() == {"code", "message"}
    assert answer["code"] == 503
    assert name in answer["message"]["INVALID REQUEST"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"7", b'{"frequency": NaN}', b"\xff", b"[" * 60_000]
)
@pytest.mark.parametrize("path", ["/predict", "/segment"])
async def test_body_that_is_no_object_is_refused_in_the_same_shape(
    api: Api, path: str, body: bytes
) -> None:
    response = await api.post(path, content=body)
    assert response.status_code == 422
    assert "INVALID REQUEST" in response.json()["message"]


async def test_recency_beyond_t_and_fractions_of_purchases_are_refused(api: Api) -> None:
    late = await api.post("/predict", json=GOOD | {"recency": 216})
    assert "recency 216" in late.json()["message"]["INVALID REQUEST"]
    half = await api.post("/predict", json=GOOD | {"frequency": 1.5})
    assert "frequency 1.5" in half.json()["message"]["INVALID REQUEST"]


async def test_legacy_status_is_that_of_the_body(tmp_path: Path) -> None:
    api = await Api(tmp_path, legacy_status=True).start()
    assert (await api.post("/predict", json={})).status_code == 503


async def test_without_a_scorecard_the_answer_is_to_come_again(tmp_path: Path) -> None:
    api = Api(tmp_path)
    response = await api.post("/predict", json=GOOD)
    assert response.status_code == 503
    assert response.headers["retry-after"]
