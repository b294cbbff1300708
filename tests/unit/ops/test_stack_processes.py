"""A folder's one process: alive while it holds its lock; and the ports and logs next to it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from ops.stack import processes
from ops.stack.logs import follow, last_lines
from ops.stack.processes import ServerProcess, choose_port
from schemas.errors import ConfigurationError

SLEEP = [str(shutil.which("sleep")), "60"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    process = ServerProcess("server", tmp_path / "server")
    yield process
    process.kill()


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("with_us", [False, True])
def test_started_process_is_found_by_others_and_stops(server: ServerProcess, with_us: bool) -> None:
    started = server.start(SLEEP, port=1234, version="1.2", with_us=with_us)
    assert (started.port, started.version) == (1234, "1.2")
    assert started.started_at.endswith("Z")
    other = ServerProcess("server", server.folder)
    assert other.record() == started
    assert other.stop(seconds_max=10) is True
    assert not exists(started.pid)
    assert server.record() is None
    assert server.stop(seconds_max=0) is True


def test_second_start_is_refused(server: ServerProcess) -> None:
    server.start(SLEEP, port=1, version="1", with_us=False)
    with pytest.raises(ConfigurationError, match="server runs already"):
        server.start(SLEEP, port=1, version="1", with_us=False)


def test_process_that_ignores_the_polite_way_is_killed(server: ServerProcess) -> None:
    deaf = ["/bin/sh", "-c", "trap '' TERM; echo deaf; while :; do :; done"]
    pid = server.start(deaf, port=1, version="1", with_us=False).pid
    while server.said() != "deaf":
        os.sched_yield()
    assert server.stop(seconds_max=0.1) is False
    assert not exists(pid)


def test_number_of_a_process_that_died_is_not_trusted(server: ServerProcess) -> None:
    pid = server.start(SLEEP, port=1, version="1", with_us=False).pid
    os.kill(pid, signal.SIGKILL)
    while server.alive():
        os.sched_yield()
    # Its number now belongs to us, of all processes.
    file = server.folder / "process.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"pid": os.getpid()}))
    assert server.record() is None
    server.kill()


def test_half_written_record_is_no_record(server: ServerProcess) -> None:
    started = server.start(SLEEP, port=1, version="1", with_us=False)
    file = server.folder / "process.json"
    whole = file.read_text()
    file.write_text(whole[:7])
    assert server.alive()
    assert server.record() is None
    file.write_text(whole)
    assert server.record() == started


def test_large_log_is_set_aside_at_the_next_start(
    server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_LOG_BYTES_MAX", 5)
    server.folder.mkdir()
    server.log.write_text("much too much")
    server.start(SLEEP, port=1, version="1", with_us=False)
    assert server.said() == ""
    assert server.log.with_suffix(".log.1").read_text() == "much too much"


def test_only_what_this_run_said_is_told(server: ServerProcess) -> None:
    assert server.said() == ""
    for word in ("first", "second"):
        server.start(["/bin/echo", word], port=1, version="1", with_us=False)
        while server.alive():
            os.sched_yield()
        assert server.said() == word
    assert server.log.read_text() == "first\nsecond\n"


def test_program_that_is_missing_leaves_no_lock(server: ServerProcess) -> None:
    with pytest.raises(FileNotFoundError):
        server.start(["/nowhere/server"], port=1, version="1", with_us=False)
    assert not server.alive()


def test_process_outlives_the_command_that_started_it(server: ServerProcess) -> None:
    program = (
        "import sys; from pathlib import Path; from ops.stack.processes import ServerProcess\n"
        "ServerProcess('server', Path(sys.argv[1])).start(sys.argv[2:], port=1, version='1',"
        " with_us=False)"
    )
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", program, str(server.folder), *SLEEP]
    subprocess.run(command, cwd=root, check=True, timeout=30)
    assert server.alive()


# --- ports


def only_free(monkeypatch: pytest.MonkeyPatch, *ports: int) -> None:
    monkeypatch.setattr(processes, "is_free", lambda port: port in ports)


def test_wanted_port_is_taken_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    only_free(monkeypatch, 9092)
    assert choose_port(9092, 6379) == 9092
    with pytest.raises(ConfigurationError, match="Port 9093 is taken"):
        choose_port(9093, 9092)


def test_liked_port_is_taken_if_free_and_not_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    only_free(monkeypatch, 1, 9092, *processes._FREE_PORTS)
    assert choose_port(None, 2, None, 9092, 1) == 9092
    assert choose_port(None, 9092, reserved=[9092]) in processes._FREE_PORTS
    assert choose_port(None) in processes._FREE_PORTS


def test_no_free_port_at_all_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    only_free(monkeypatch)
    with pytest.raises(ConfigurationError, match="No free port"):
        choose_port(None, 9092)


# --- logs


def test_last_lines_of_no_log_are_none(tmp_path: Path) -> None:
    assert last_lines(tmp_path / "no.log", 5) == []


def test_following_gives_whole_lines_once_over_a_fresh_file(tmp_path: Path) -> None:
    path, later = tmp_path / "a.log", tmp_path / "b.log"
    path.write_text("before\n")
    steps = iter(
        [
            lambda: path.open("a").close(),
            lambda: append(path, "on"),
            lambda: append(path, "e\ntwo\n"),
            lambda: (path.rename(tmp_path / "a.log.1"), path.write_text("fresh\n")),
            lambda: later.write_text("late\n"),
            lambda: path.write_text("cut\n"),
        ]
    )
    lines = list(islice(follow({"a": path, "b": later}, lambda _: next(steps)()), 5))
    assert lines == [("a", "one"), ("a", "two"), ("a", "fresh"), ("b", "late"), ("a", "cut")]


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)
