"""What nobody sees: passwords in arguments, logs, files and answers; and the keys that are printed."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ops.stack.local import LocalStack
from tests.support.seat import (
    CONFIG,
    REPOSITORY,
    WAIT_SECONDS_MAX,
    Seat,
    secrets_of,
)

pytestmark = pytest.mark.integration


def test_no_password_is_in_an_argument_a_log_or_a_file_of_the_servers(
    stack: LocalStack, tmp_path: Path
) -> None:
    secrets = secrets_of(stack)
    worker = Seat(stack, "worker").start_worker(tmp_path / "worker.log")
    try:
        pids = [worker.pid, *(server.pid for server in stack.status())]
        for pid in pids:
            arguments = Path(f"/proc/{pid}/cmdline").read_text()
            assert arguments
            assert not any(secret in arguments for secret in secrets)
        time.sleep(2)
    finally:
        worker.terminate()
        worker.wait(WAIT_SECONDS_MAX)
    files = [path for path in stack.folder.rglob("*") if path.is_file()]
    assert {"kafka.log", "redis.log", "server.properties", "redis.conf"} <= {p.name for p in files}
    for path in [*files, tmp_path / "worker.log"]:
        content = path.read_bytes()
        assert not any(secret.encode() in content for secret in secrets), path
    for path in (stack.folder, stack.secure.folder if stack.secure else stack.folder):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


@pytest.mark.parametrize("words", [["doctor"], ["doctor", "--json"]])
def test_doctor_shows_no_password_though_it_prints_every_setting(
    stack: LocalStack, words: list[str]
) -> None:
    seat = Seat(stack, "worker")
    password = seat.profile.password("worker", "REDIS")
    url = stack.redis.replace("://", f"://worker:{password}@")
    said = seat.run(*words, REDIS=url, REDIS_USERNAME="")
    assert said.returncode == 0, said.stdout
    assert "EVERSCORE_REDIS_PASSWORD" in said.stdout
    assert not any(secret in said.stdout + said.stderr for secret in secrets_of(stack))


def test_doctor_says_who_refused_and_goes_on(stack: LocalStack) -> None:
    said = Seat(stack, "worker").run("doctor", KAFKA_PASSWORD="wrong", REDIS_PASSWORD="wrong")
    assert said.returncode == CONFIG
    for server in (f"Kafka at {stack.kafka}", f"Redis at {stack.redis}"):
        assert f"{server} refused user 'worker': wrong user name or password." in said.stdout
    assert "Traceback" not in said.stdout + said.stderr


def everscore_stack(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ops.cli.main", "stack", *words],
        cwd=REPOSITORY,
        env={name: value for name, value in os.environ.items() if "EVERSCORE_" not in name},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_command_brings_up_locks_and_prints_the_keys(stack: LocalStack, tmp_path: Path) -> None:
    where = ["--folder", str(tmp_path / "with space")]
    up = everscore_stack("up", "--secure", "--name", "kafka.test", *where)
    try:
        assert up.returncode == 0, up.stderr
        assert "secure: certificates and passwords are in" in up.stderr
        assert "PASSWORD" not in up.stdout
        everscore = f"{sys.executable} -m ops.cli.main"
        inside = subprocess.run(
            ["sh", "-c", f"{up.stdout}\n{everscore} topics create && {everscore} stack up "
             f"--folder '{tmp_path}/with space' && {everscore} lookup nobody"],
            cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert "7 of 7 topics were there" in inside.stdout, inside.stderr
        assert up.stdout in inside.stdout  # as before, whatever the shell was told
        assert inside.returncode == 78  # lookup: nobody was counted yet
        assert "no worker has run against this Redis yet" in inside.stderr
        status = json.loads(everscore_stack("status", "--json", *where).stdout)
        assert (status["up"], status["secure"]) == (True, True)
        opened = everscore_stack("up", "--open", *where)
        assert opened.returncode == 78
        assert "runs already, with passwords and TLS. Stop it first" in opened.stderr
        secrets = [path.read_text() for path in tmp_path.rglob("EVERSCORE_*_PASSWORD")]
        assert len(secrets) == len(secrets_of(stack))
    finally:
        assert everscore_stack("down", *where).returncode == 0
    again = everscore_stack("up", *where)  # as last time
    try:
        assert (again.returncode, again.stdout) == (0, up.stdout), again.stderr
        assert [path.read_text() for path in tmp_path.rglob("EVERSCORE_*_PASSWORD")] == secrets
    finally:
        down = everscore_stack("down", "--wipe", *where)
    assert "removed data and logs" in down.stderr
    assert not (tmp_path / "with space" / "security").exists()
