"""The short way to one customer answers as the long way does, byte for byte."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from ops.api.express import Express
from ops.api.policy import Role
from ops.api.view import pseudonym
from tests.support.api import Api
from tests.support.purchases import Purchase
from tests.unit.ops.api.test_access import HOSTILE_IDS

LONG = "?by=the-long-way"  # a query that no route knows: the framework leaves it aside


async def both(
    api: Api, path: str, role: Role | None = Role.PII_READER, **more: Any
) -> tuple[httpx.Response, httpx.Response]:
    headers = [("Request-Id", "r-1"), *more.pop("headers", [])]
    async with api.client(role) as client:
        return (
            await client.get(path, headers=headers, **more),
            await client.get(path + LONG, headers=headers, **more),
        )


def check_same(short: httpx.Response, long: httpx.Response) -> None:
    assert (short.status_code, short.content) == (long.status_code, long.content)
    assert short.headers.multi_items() == long.headers.multi_items()


@pytest.mark.parametrize("role", [*Role, None])
@pytest.mark.parametrize("customer_id", ["00003", "00017", "gone", "nobody", "0" * 64, "a b", "é"])
async def test_both_ways_answer_alike_whoever_asks_for_whom(
    api: Api, customer_id: str, role: Role | None
) -> None:
    await api.buy(Purchase("gone", 10_000, 5, "1"), Purchase("gone", 10_000, 5, "2", "refund"))
    check_same(*await both(api, f"/customers/{customer_id}", role))
    lines = api.audited()
    assert lines[::2] == lines[1::2]


@pytest.mark.parametrize("customer_id", HOSTILE_IDS)
async def test_both_ways_refuse_what_is_no_id_alike(api: Api, customer_id: str) -> None:
    quoted = "".join(f"%{byte:02X}" for byte in customer_id.encode("utf-8", "surrogatepass"))
    check_same(*await both(api, f"/customers/{quoted}"))
    assert api.store.loaded == []


async def test_both_ways_find_whom_a_reader_was_shown(api: Api) -> None:
    name = pseudonym(api.service.secret, "00003")
    short, long = await both(api, f"/customers/{name}", Role.READER)
    check_same(short, long)
    assert short.json()["customer_id"] == name


@pytest.mark.parametrize(
    "given", [["*"], ['"other"'], ["{}"], ['"other", {}'], ['"other"', "{}"], ["{}", '"other"']]
)
async def test_both_ways_confirm_what_has_not_changed_alike(api: Api, given: list[str]) -> None:
    etag = (await api.get("/customers/00003")).headers["etag"]
    headers = [("If-None-Match", one.replace("{}", etag)) for one in given]
    check_same(*await both(api, "/customers/00003", headers=headers))


async def test_both_ways_count_as_one_route(api: Api) -> None:
    await both(api, "/customers/00003")
    await both(api, "/customers/nobody")
    text = api.service.metrics.text().decode()
    for status in (200, 404):
        labels = f'method="GET",route="/customers/{{customer_id}}",status="{status}"'
        assert f"everscore_api_requests_total{{{labels}}} 2.0" in text


@pytest.mark.parametrize(
    ("method", "path", "taken"),
    [
        ("GET", "/customers/00003", True),
        ("GET", "/customers/00003?at=1998-06-30", False),
        ("GET", "/customers/00003/outlook", False),
        ("GET", "/customers/", False),
        ("GET", "/customers//", False),
        ("GET", "/customers", False),
        ("POST", "/customers/00003", False),
        ("HEAD", "/customers/00003", False),
        ("POST", "/customers:batchGet", False),
        ("GET", "/segments", False),
    ],
)
async def test_short_way_takes_the_plain_question_only(
    api: Api, method: str, path: str, taken: bool
) -> None:
    long_way: list[str] = []

    async def framework(scope: Any, _receive: Any, send: Any) -> None:
        long_way.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    express = Express(framework, api.service)

    async def let_in(scope: Any, receive: Any, send: Any) -> None:
        key = api.service.caller(api.key[Role.ADMIN])
        scope["state"] = {"key": key, "request_id": "r"}
        await express(scope, receive, send)

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(let_in), base_url="http://everscore"
    ) as client:
        assert (await client.request(method, path)).status_code == 200
    assert (long_way == []) is taken
