"""Who is let in, to what, how often; and what is written down of it."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import timedelta

import httpx
import pytest

from ops.api.app import build_app
from ops.api.gate import BODY_BYTES_MAX
from ops.api.policy import Role
from tests.support.api import Api
from tests.support.hostile_ids import HOSTILE_IDS

ALL = set(Role)
READERS = {Role.READER, Role.PII_READER, Role.ADMIN}
# Route → roles that may ask.
ROUTES = {
    ("GET", "/welcome"): ALL,
    ("GET", "/openapi.json"): ALL,
    ("GET", "/customers/00003"): READERS,
    ("GET", "/customers/00003/outlook"): READERS,
    ("GET", "/customers/00003/history"): READERS,
    ("POST", "/customers:batchGet"): READERS,
    ("GET", "/customers"): {Role.PII_READER, Role.ADMIN},  # pseudonyms have no beginning
    ("GET", "/customer-base"): ALL,
    ("GET", "/service"): ALL,
    ("GET", "/segments"): ALL,
    ("GET", "/segments/Champions/customers"): READERS,
    ("GET", "/changes"): READERS,
    ("POST", "/predict"): ALL,
    ("POST", "/segment"): ALL,
    ("GET", "/metrics"): {Role.OPERATOR, Role.ADMIN},
}
OPEN = {("GET", "/health/live"), ("GET", "/health/ready")}
BODIES = {
    "/customers:batchGet": {"ids": ["00003"]},
    "/predict": {"frequency": 3, "recency": 100, "T": 215},
    "/segment": {"recency": 15, "frequency": 12, "monetary": 540},
}
QUERIES = {"/customers": {"prefix": "0000"}}


def filled_in(path: str) -> str:
    return path.replace("{customer_id}", "00003").replace("{name}", "Champions")


def test_every_route_there_is_has_its_roles_stated_here(api: Api) -> None:
    described = {
        (method.upper(), filled_in(path))
        for path, ways in api.app.openapi()["paths"].items()
        for method in ways
    }
    assert described == (ROUTES.keys() - {("GET", "/openapi.json")}) | OPEN


@pytest.mark.parametrize("role", [*Role, None])
@pytest.mark.parametrize(("method", "path"), list(ROUTES))
async def test_route_answers_only_the_roles_that_may_ask(
    api: Api, method: str, path: str, role: Role | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if path == "/changes":
        monkeypatch.setattr(type(api.service), "still_welcome", lambda _self, _key: False)
    async with api.client(role) as client:
        response = await client.request(
            method, path, json=BODIES.get(path), params=QUERIES.get(path)
        )
    expected = 401 if role is None else 200 if role in ROUTES[method, path] else 403
    assert response.status_code == expected
    if expected != 200:
        assert response.headers["content-type"] == "application/problem+json"
        assert api.store.loaded == []


@pytest.mark.parametrize(("method", "path"), sorted(OPEN))
async def test_health_needs_no_key(api: Api, method: str, path: str) -> None:
    async with api.client(None) as client:
        assert (await client.request(method, path)).status_code == 200


@pytest.mark.parametrize(
    "shown",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer evs_00000000_" + "A" * 43,
        "Basic YTpi",
        "Bearer not-a-key",
        "Bearer evs_\xe9",
    ],
)
async def test_wrong_key_is_refused_and_told_how_to_get_one(api: Api, shown: str) -> None:
    async with api.client(None) as client:
        response = await client.get(
            "/customers/00003", headers={"Authorization": shown.encode("latin-1")}
        )
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert "everscore key create" in response.json()["detail"]


async def test_key_in_the_other_header_is_as_good(api: Api) -> None:
    async with api.client(None) as client:
        response = await client.get("/segments", headers={"X-API-Key": api.key[Role.READER]})
    assert response.status_code == 200


async def test_revoked_key_opens_nothing_any_more(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.api.keys._LOOK_SECONDS", 0.0)
    assert (await api.get("/segments", Role.READER)).status_code == 200
    api.keys.revoke("a-reader", now=api.now)
    assert (await api.get("/segments", Role.READER)).status_code == 401
    assert (await api.get("/segments", Role.PII_READER)).status_code == 200


async def test_expired_key_opens_nothing_any_more(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.api.keys._LOOK_SECONDS", 0.0)
    _, text = api.keys.create("for-a-day", Role.READER, now=api.now, days=1)
    async with api.client(None, Authorization=f"Bearer {text}") as client:
        assert (await client.get("/segments")).status_code == 200
        api.now += timedelta(days=1)
        assert (await client.get("/segments")).status_code == 401


@pytest.mark.parametrize("customer_id", HOSTILE_IDS)
@pytest.mark.parametrize("further", ["", "/outlook", "/history"])
async def test_hostile_id_is_refused_and_touches_nothing(
    api: Api, customer_id: str, further: str
) -> None:
    quoted = "".join(f"%{byte:02X}" for byte in customer_id.encode("utf-8", "surrogatepass"))
    before = dict(api.store.hashes), dict(api.store.checkpoints)
    response = await api.get(f"/customers/{quoted}{further}")
    assert 400 <= response.status_code < 500
    assert api.store.loaded == []
    assert (api.store.hashes, api.store.checkpoints) == before
    assert api.audited() == []


@pytest.mark.parametrize("customer_id", HOSTILE_IDS)
async def test_hostile_id_among_many_is_refused_and_touches_nothing(
    api: Api, customer_id: str
) -> None:
    body = json.dumps({"ids": ["00003", customer_id]})
    response = await api.post("/customers:batchGet", content=body)
    assert response.status_code == 422
    assert api.store.loaded == []


@pytest.mark.parametrize(
    "path", ["/../etc/passwd", "/customers/..%2f..%2fetc", "/%00", "/customers//"]
)
async def test_path_that_leads_nowhere_is_a_problem(api: Api, path: str) -> None:
    response = await api.get(path)
    assert response.status_code in {404, 422}
    assert response.headers["content-type"] == "application/problem+json"


async def test_wrong_method_is_a_problem_that_names_the_right_ones(api: Api) -> None:
    response = await api.post("/segments")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET"


async def test_body_up_to_the_limit_is_read_and_one_byte_more_is_not(api: Api) -> None:
    fits = b'{"ids": ["00003"]}'.ljust(BODY_BYTES_MAX)
    headers = {"Content-Type": "application/json"}
    first = await api.post("/customers:batchGet", content=fits, headers=headers)
    assert first.status_code == 200
    second = await api.post("/customers:batchGet", content=fits + b" ", headers=headers)
    assert second.status_code == 413
    assert second.json()["type"] == "urn:everscore:problem:body-too-large"


async def test_body_of_no_announced_length_is_cut_off_at_the_limit(api: Api) -> None:
    sent = 0

    async def endless():
        nonlocal sent
        while sent < 100:
            sent += 1
            yield b" " * 8_192

    assert (await api.post("/predict", content=endless())).status_code == 413
    assert sent < 20


async def test_request_keeps_its_id_and_one_without_gets_one(api: Api) -> None:
    named = await api.get("/segments", headers={"Request-Id": "till-7.42"})
    assert named.headers["request-id"] == "till-7.42"
    nameless = [await api.get("/customers/nobody") for _ in range(2)]
    ids = {response.headers["request-id"] for response in nameless}
    assert len(ids) == 2
    assert {response.json()["instance"] for response in nameless} == {
        f"urn:everscore:request:{name}" for name in ids
    }
    forged = await api.get("/segments", headers={"Request-Id": "a b\tc"})
    assert re.fullmatch(r"[0-9a-f]{32}", forged.headers["request-id"])


async def test_caller_beyond_the_rate_waits_and_others_do_not(api: Api) -> None:
    burst = api.service.policy.roles[Role.OPERATOR].burst
    async with api.client(Role.OPERATOR) as client:
        for _ in range(burst):
            assert (await client.get("/segments")).status_code == 200
        limited = await client.get("/segments")
        assert limited.status_code == 429
        assert int(limited.headers["retry-after"]) >= 1
        assert (await api.get("/segments", Role.READER)).status_code == 200
        api.seconds += int(limited.headers["retry-after"])
        assert (await client.get("/segments")).status_code == 200


async def test_many_customers_at_once_cost_more_of_the_rate(api: Api) -> None:
    body = {"ids": [f"{number:05}" for number in range(1, 1_001)]}
    burst = api.service.policy.roles[Role.READER].burst
    served = 0
    while (await api.post("/customers:batchGet", Role.READER, json=body)).status_code == 200:
        served += 1
    assert served == burst // 11


async def test_guessing_keys_is_slowed_down_by_address(api: Api) -> None:
    async with api.client(None, Authorization="Bearer wrong") as client:
        statuses = [(await client.get("/segments")).status_code for _ in range(40)]
    assert set(statuses) == {401, 429}
    assert (await api.get("/segments")).status_code == 200


async def test_looking_somebody_up_is_written_down_without_their_id(api: Api) -> None:
    await api.get("/customers/00003", headers={"Request-Id": "r-1"})
    await api.get("/customers/nobody", Role.READER)
    await api.post("/customers:batchGet", json={"ids": ["00003", "00004"]})
    await api.get("/segments/Champions/customers", params={"limit": 3})
    lines = api.audited()
    assert [(line["name"], line["action"], len(line["customers"])) for line in lines] == [
        ("a-pii-reader", "customer", 1),
        ("a-reader", "customer", 1),
        ("a-pii-reader", "batch", 2),
        ("a-pii-reader", "members", 3),
    ]
    assert lines[0]["request"] == "r-1"
    assert lines[0]["customers"][0] == lines[2]["customers"][0]
    assert "00003" not in api.audit.read_text()


async def test_what_cannot_be_written_down_is_not_answered(api: Api) -> None:
    api.audit.mkdir()
    response = await api.get("/customers/00003")
    assert response.status_code == 503
    assert "00003" not in response.text
    assert (await api.get("/segments")).status_code == 200


async def test_store_that_is_away_is_a_problem_that_names_no_server(api: Api, caplog) -> None:
    from schemas.errors import StoreUnavailableError

    async def away(*_args: object) -> None:
        raise StoreUnavailableError("Redis at redis://secret-host:6379/0 does not answer.")

    api.store.load_many = away
    response = await api.get("/customers/00003")
    assert response.status_code == 503
    assert response.headers["retry-after"]
    assert "secret-host" not in response.text
    assert "secret-host" in caplog.text


async def test_fault_of_ours_is_a_problem_that_tells_nothing_but_its_name(api: Api, caplog) -> None:
    async def broken(*_args: object) -> None:
        raise RuntimeError("a secret")

    api.store.load_many = broken
    response = await api.get("/customers/00003")
    assert response.status_code == 500
    assert "a secret" not in response.text
    assert response.json()["instance"].removeprefix("urn:everscore:request:") in caplog.text


async def test_without_authentication_whoever_can_connect_may_ask(tmp_path) -> None:
    api = await Api(tmp_path, authentication=False).start()
    for host in ("127.0.0.1:8080", "localhost", "[::1]:8080", "[::1]"):
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(api.app), base_url=f"http://{host}"
        ) as client:
            assert (await client.get("/welcome")).json()["role"] == "admin"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "10.0.0.7:80", ""]
)
async def test_without_authentication_a_page_whose_name_leads_here_reads_nothing(
    tmp_path, host: str
) -> None:
    api = await Api(tmp_path, authentication=False).start()
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(api.app), base_url="http://127.0.0.1", headers={"Host": host}
    ) as client:
        response = await client.get("/segments")
    assert response.status_code == 421
    assert response.json()["type"] == "urn:everscore:problem:other-host"


async def test_task_that_fails_is_named_and_begun_again(
    tmp_path, caplog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.api.app._PAUSE_SECONDS", 0.0)
    begun = asyncio.Event()
    tries = 0

    async def flaky() -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise RuntimeError("of all things")
        begun.set()
        await asyncio.Event().wait()

    app = build_app(Api(tmp_path).service, [flaky])
    async with app.router.lifespan_context(app):
        async with asyncio.timeout(10):
            await begun.wait()
    assert "of all things" in caplog.text


async def test_task_that_misses_its_cancellation_is_cancelled_again(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.api.app._END_SECONDS", 0.01)
    missed = 0

    async def deaf() -> None:
        nonlocal missed
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                missed += 1
                if missed == 3:
                    raise

    app = build_app(Api(tmp_path).service, [deaf])
    async with asyncio.timeout(10), app.router.lifespan_context(app):
        await asyncio.sleep(0)
    assert missed == 3
