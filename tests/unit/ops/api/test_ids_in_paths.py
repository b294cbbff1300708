"""Ids that mean something to a path: they are found, or refused with the way that works."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from ops.api.policy import Role
from ops.api.view import pseudonym
from schemas.transaction import is_customer_id
from tests.support.api import Api
from tests.support.purchases import Purchase

# As percent-encoding must bring them through, each beside one that it must not be taken for.
IDS = (
    *("a/b", "a", "a/outlook", "a/history", "a//b", "/", "//", "a/", "/a", "../a", "a/../b"),
    *("a%2Fb", "a%252Fb", "100%", "%", "a#b", "a;b=c", "a&b=c", "a+b", "a=b", "a@b", "a,b", "a|b"),
    *("a:batchGet", ":batchGet", "00003/outlook", "~a", "$a!(b)", "^a", "Zoë/ü", "店/1", "a%1Fb"),
)


@pytest.fixture
async def known(api: Api) -> Api:
    for number, customer_id in enumerate(IDS):
        assert is_customer_id(customer_id)
        await api.buy(Purchase(customer_id, 10_300 + number, 500, f"t-{number}"))
    return api


def encoded(customer_id: str) -> str:
    """As JavaScript's encodeURIComponent does."""
    return quote(customer_id, safe="-_.!~*'()")


@pytest.mark.parametrize("further", ["", "/outlook", "/history"])
async def test_id_of_any_letters_is_found_by_its_path(known: Api, further: str) -> None:
    for customer_id in IDS:
        response = await known.get(f"/customers/{encoded(customer_id)}{further}")
        assert response.status_code == 200, customer_id
        assert response.json()["customer_id"] == customer_id
    assert known.store.loaded == list(IDS)


async def test_lower_case_of_the_code_is_the_same_slash(known: Api) -> None:
    response = await known.get("/customers/a%2fb")
    assert response.json()["customer_id"] == "a/b"


async def test_id_with_a_slash_is_under_its_own_pseudonym(known: Api) -> None:
    response = await known.get("/customers/a%2Fb", Role.READER)
    name = pseudonym(known.service.secret, "a/b")
    assert response.json()["customer_id"] == name
    assert known.audited()[-1]["customers"] == [name]


async def test_bare_slash_is_no_letter_and_the_answer_says_how_to_write_one(known: Api) -> None:
    response = await known.get("/customers/a/b")
    assert response.status_code == 404
    assert response.json()["type"] == "urn:everscore:problem:unknown-route"
    for said in ("'/customers/a/b'", "%2F", "/customers:batchGet"):
        assert said in response.json()["detail"]
    assert known.store.loaded == []


async def test_by_the_body_they_need_no_encoding(known: Api) -> None:
    found = (await known.post("/customers:batchGet", json={"ids": list(IDS)})).json()
    assert [customer["customer_id"] for customer in found["customers"]] == list(IDS)


async def test_encoded_slash_opens_no_way_past_the_gate(known: Api) -> None:
    for path in ("/health%2Flive", "/%2Fhealth/live", "/health/live%2F", "/x%2F..%2Fhealth/live"):
        assert (await known.get(path, None)).status_code == 401
        response = await known.get(path)
        assert response.status_code == 404
        assert path.replace("/", "%2F").removeprefix("%2F")[:8] in response.text.replace("/", "%2F")


async def test_segment_with_an_encoded_slash_is_named_as_unknown(known: Api) -> None:
    response = await known.get("/segments/Cham%2Fpions/customers")
    assert response.status_code == 404
    assert "Cham/pions" in response.json()["detail"]


async def test_requests_are_counted_by_route_whatever_the_id(known: Api) -> None:
    await known.get("/customers/a%2Fb/outlook")
    text = (await known.get("/metrics", Role.ADMIN)).text
    assert 'route="/customers/{customer_id}/outlook"' in text
    assert "a%2Fb" not in text
    assert "a/b" not in text
