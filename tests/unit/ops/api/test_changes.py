"""The live feed: every change once, resumed where it broke off, and honest where it cannot be."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from ops.api.changes_memory import ChangesMemory, Told, pack_position, unpack_position
from ops.api.policy import Role
from tests.support.api import Api
from tests.support.purchases import Purchase, cdnow_of


class Listener:
    """Listens to a stream without a socket; httpx waits for the end of what never ends."""

    def __init__(
        self, api: Api, query: str = "", role: Role = Role.PII_READER, last: str = ""
    ) -> None:
        self._parts: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._gone = asyncio.Event()
        self._text = ""
        headers = [(b"authorization", f"Bearer {api.key[role]}".encode())]
        if last:
            headers.append((b"last-event-id", last.encode()))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/changes",
            "raw_path": b"/changes",
            "query_string": query.encode(),
            "headers": headers,
            "client": ("here", 1),
            "server": ("everscore", 80),
        }
        self._task = asyncio.create_task(api.app(scope, self._receive, self._send))
        self.status = 0
        self.last = last

    async def _receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        await self._parts.put(message)

    async def events(self, count: int) -> list[dict[str, Any]]:
        """The next so many events."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            while "\n\n" not in self._text:
                message = await asyncio.wait_for(self._parts.get(), 10)
                self.status = message.get("status", self.status)
                self._text += message.get("body", b"").decode()
            block, _, self._text = self._text.partition("\n\n")
            fields = dict(line.split(": ", 1) for line in block.splitlines() if line[0] != ":")
            self.last = fields.get("id", self.last)
            if "data" in fields:
                found.append(json.loads(fields["data"]) | {"event": fields["event"]})
        return found

    async def close(self) -> None:
        self._gone.set()
        await asyncio.wait_for(self._task, 10)


def ids(changes: list[dict[str, Any]]) -> list[str]:
    return [change["id"] for change in changes]


async def test_stream_from_the_oldest_tells_every_change_once_in_each_customers_order(
    api: Api,
) -> None:
    told = api.run.changes()
    listener = Listener(api, "from=oldest")
    found = await listener.events(len(told))
    await listener.close()
    assert ids(found) == ids(told)
    assert {change["event"] for change in found} == {"segment", "lifecycle"}
    assert api.service.streams == 0


async def test_stream_from_now_tells_only_what_comes(api: Api) -> None:
    listener = Listener(api)
    before = len(api.run.changes())
    await asyncio.sleep(0)
    while not listener._parts.qsize():
        await asyncio.sleep(0)
    await api.buy(Purchase("new", 10_500, 700, "new"))
    fresh = api.run.changes()[before:]
    assert fresh
    assert ids(await listener.events(len(fresh))) == ids(fresh)
    await listener.close()


@pytest.mark.parametrize("first", [1, 7, 100])
async def test_stream_goes_on_behind_the_last_event_without_gap_or_repeat(
    api: Api, first: int
) -> None:
    told = api.run.changes()
    listener = Listener(api, "from=oldest")
    seen = await listener.events(first)
    await listener.close()
    again = Listener(api, last=listener.last)
    seen += await again.events(len(told) - first)
    await again.close()
    assert ids(seen) == ids(told)


async def test_filtered_stream_tells_what_was_asked_for_and_still_resumes(api: Api) -> None:
    wanted = [
        change
        for change in api.run.changes()
        if change["current"] == "At-Risk" and change["cause"] == "silence"
    ]
    listener = Listener(api, "from=oldest&segment=At-Risk&cause=silence")
    seen = await listener.events(3)
    await listener.close()
    again = Listener(api, "segment=At-Risk&cause=silence", last=listener.last)
    seen += await again.events(len(wanted) - 3)
    await again.close()
    assert ids(seen) == ids(wanted)


async def test_reader_hears_of_pseudonyms_and_quarters_only(api: Api) -> None:
    listener = Listener(api, "from=oldest", Role.READER)
    found = await listener.events(20)
    await listener.close()
    told = api.run.changes()[:20]
    assert not set(ids(found)) & set(ids(told))
    for change in found:
        assert len(change["customer_id"]) == 64
        assert change["occurred_at"][4:6] == "-Q"
        assert (change["silence_days"], change["source"]) == (None, None)


async def test_stream_that_waited_too_long_is_told_that_something_is_gone(tmp_path: Path) -> None:
    api = await Api(tmp_path, changes_max=50).start()
    start = pack_position(api.memory.position)
    await api.buy(*cdnow_of(60))
    response = await api.get("/changes", headers={"Last-Event-ID": start})
    assert response.status_code == 410
    assert "from=oldest" in response.json()["detail"]


async def test_stream_of_a_log_that_has_begun_anew_is_told_so(api: Api) -> None:
    ahead = {p: offset + 1 for p, offset in api.memory.position.items()}
    response = await api.get("/changes", headers={"Last-Event-ID": pack_position(ahead)})
    assert response.status_code == 410


async def test_stream_that_comes_from_a_server_further_ahead_waits_for_this_one(api: Api) -> None:
    before = len(api.run.changes())
    await api.run.feed([Purchase("new", 10_500, 700, "new")], 1)
    fresh = api.run.changes()[before:]
    partition = hash(b"new") % 4
    ends = api.memory.position
    ahead = ends | {partition: before + 1}  # behind the first of them, which is not read here yet
    assert ahead[partition] > ends[partition]
    listener = Listener(api, last=pack_position(ahead))
    await asyncio.sleep(0.01)
    assert listener._parts.qsize() == 0
    api.tell()
    assert ids(await listener.events(len(fresh) - 1)) == ids(fresh[1:])
    assert listener.status == 200
    await listener.close()


@pytest.mark.parametrize("last", ["x", "7", "A", "////", pack_position({0: 1}), "%"])
async def test_event_id_of_somebody_elses_making_is_refused(api: Api, last: str) -> None:
    response = await api.get("/changes", headers={"Last-Event-ID": last})
    assert response.status_code == 422


async def test_quiet_stream_is_kept_open_and_ends_with_its_key(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.api.routes.changes._BEAT_SECONDS", 0.01)
    monkeypatch.setattr("ops.api.keys._LOOK_SECONDS", 0.0)
    listener = Listener(api, role=Role.READER)
    beats = ""
    while "nothing new" not in beats:
        beats += (await asyncio.wait_for(listener._parts.get(), 10)).get("body", b"").decode()
    api.keys.revoke("a-reader", now=api.now)
    await asyncio.wait_for(listener._task, 10)


async def test_stream_before_anything_was_read_is_to_come_again(tmp_path: Path) -> None:
    response = await Api(tmp_path).get("/changes")
    assert response.status_code == 503
    assert response.headers["retry-after"]


async def test_old_changes_still_being_read_are_not_told_as_new(api: Api) -> None:
    api.memory.caught_up = False
    assert (await api.get("/changes")).status_code == 503
    listener = Listener(api, "from=oldest")
    assert len(await listener.events(5)) == 5
    await listener.close()


async def test_stream_ends_when_the_log_begins_anew(api: Api) -> None:
    listener = Listener(api, "from=oldest")
    await listener.events(5)
    api.memory.begin(dict.fromkeys(api.memory.position, 0))
    await asyncio.wait_for(listener._task, 10)
    assert len(api.memory) == 0


async def test_one_stream_too_many_is_to_come_again(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.api.routes.changes.STREAMS_MAX", 0)
    response = await api.get("/changes")
    assert response.status_code == 503
    assert response.headers["retry-after"]


# --- memory


def told(customer_id: str, sequence: int, offset: int, cause: str = "silence") -> Told:
    body = {
        "customer_id": customer_id,
        "sequence": sequence,
        "previous": "Loyal",
        "current": "At-Risk",
        "cause": cause,
        "occurred_at": "2026-01-05T10:00:00Z",
    }
    return Told(
        0, offset, "everscore.segment.changed.v1", f"id-{offset}", json.dumps(body).encode()
    )


@pytest.mark.parametrize("end", [b"", b"\n", b"  "])
def test_body_passed_on_as_it_is_says_what_the_change_says(end: bytes) -> None:
    one = told("C-1", 1, 7)
    spaced = Told(one.partition, one.offset, one.change_type, one.change_id, one.body + end)
    assert json.loads(spaced.raw()) == one.change()


def test_change_told_twice_is_remembered_once() -> None:
    memory = ChangesMemory(10)
    memory.begin({0: 0})
    for offset, sequence in enumerate((1, 2, 1, 2, 3)):
        memory.add(told("C-1", sequence, offset))
    assert [change["sequence"] for change in memory.of("C-1")] == [1, 2, 3]
    assert memory.flows == [("Loyal", "At-Risk", 3)]


def test_memory_keeps_the_latest_and_knows_where_it_begins() -> None:
    memory = ChangesMemory(3)
    memory.begin({0: 0})
    for offset in range(10):
        memory.add(told(f"C-{offset % 2}", offset // 2 + 1, offset))
    assert len(memory) == 3
    assert memory.oldest_position == {0: 7}
    assert [change["sequence"] for change in memory.of("C-1")] == [4, 5]
    assert memory.flows == [("Loyal", "At-Risk", 3)]


def test_erased_customer_leaves_nothing_but_the_erasure_and_streams_go_on_around_it() -> None:
    memory = ChangesMemory(10)
    memory.begin({0: 0})
    for offset in range(4):
        memory.add(told(f"C-{offset % 2}", offset // 2 + 1, offset))
    memory.add(told("C-1", 3, 4, cause="erasure"))
    assert [change["cause"] for change in memory.of("C-1")] == ["erasure"]
    numbers = range(memory.number_at({0: 0}), memory.next)
    here = [found.offset for found in map(memory.get, numbers) if found]
    assert here == [0, 2, 4]
    for offset in range(5, 20):
        memory.add(told("C-2", offset, offset))
    assert len(memory) == 10


@pytest.mark.parametrize("position", [{0: 0}, {0: 5, 1: 2**62}, dict.fromkeys(range(64), 7)])
def test_position_survives_being_an_event_id(position: dict[int, int]) -> None:
    text = pack_position(position)
    assert text.isascii()
    assert text.isprintable()
    assert unpack_position(text) == position
