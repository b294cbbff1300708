"""docker-compose.yml itself, brought up and used as an operator would, in the order of a first day."""

import asyncio
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator

import httpx
import pytest

from ops.demo import load_purchases
from ops.parity import all_states, compare_with_lifetimes
from ops.producing import Progress, progress_of
from ops.stack.images.stand_ins import find_image
from state.redis_store import RedisStore
from streams.settings import Settings
from tests.support.compose_project import REPOSITORY, ComposeProject, docker, inspect, service_of

pytestmark = pytest.mark.docker

PARTITIONS = 4  # the file's default
SLICE = 10_000
KEY_SECONDS_MAX = 30.0
COUNTED_SECONDS_MAX = 300.0  # the demo takes 20 s, on a machine that is busy 70 s
# What a careless compose file would hand on to every container.
CANARY = f"canary-{uuid.uuid4().hex}"
# Where keys are, and when they come, is no secret.
NO_SECRETS = (
    "EVERSCORE_API_KEYS=/var/lib/everscore/api-keys.json",
    "EVERSCORE_API_KEYS_LATER=1",
)


@pytest.fixture(scope="module")
def project(images, say) -> Iterator[ComposeProject]:
    """Everything of the file with two workers; gone afterwards, whatever happened."""
    project = ComposeProject(EVERSCORE_KAFKA_PASSWORD=CANARY, EVERSCORE_REDIS_PASSWORD=CANARY)
    project.remove_orphans()
    began = time.monotonic()
    project.compose("build", "worker")
    say(f"everscore:latest: built in {time.monotonic() - began:.1f} s")
    image = find_image("everscore:latest")
    assert image is not None
    say(f"everscore:latest: {image.size_mb:.0f} MB")
    try:
        say(f"first up: everything healthy after {project.up(workers=2):.1f} s")
        yield project
    finally:
        project.down(volumes=True)


@pytest.fixture(scope="module")
def settings(project) -> Settings:
    return Settings(kafka=project.kafka, redis=project.redis)


@pytest.fixture(scope="module")
def purchases():
    return load_purchases()


def host_command(settings: Settings, *arguments: str) -> subprocess.Popen[str]:
    """An everscore command of this machine, outside all containers."""
    return subprocess.Popen(
        [sys.executable, "-m", "ops.cli.main", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "EVERSCORE_KAFKA": settings.kafka, "EVERSCORE_REDIS": settings.redis},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(command: subprocess.Popen[str]) -> str:
    """What a command says, once it has ended well; one that does not end is ended."""
    with command:
        try:
            said, _ = command.communicate(timeout=COUNTED_SECONDS_MAX)
        finally:
            command.kill()
    assert command.returncode == 0, said
    return said


async def until_read(project: ComposeProject, settings: Settings, records: int) -> Progress:
    """Wait until the workers have read so many records."""
    store = RedisStore(settings.redis, settings.keys)
    deadline = time.monotonic() + COUNTED_SECONDS_MAX
    try:
        while True:
            progress = await progress_of(store, settings, PARTITIONS)
            if progress.read >= records:
                return progress
            if time.monotonic() > deadline:
                raise AssertionError(f"{records:,} not read: {progress}\n{project.logs()}")
            await asyncio.sleep(0.1)
    finally:
        await store.close()


async def assert_equal_to_lifetimes(settings: Settings, purchases, customers: int) -> None:
    store = RedisStore(settings.redis, settings.keys)
    try:
        end = max(purchase.occurred_at for purchase in purchases)
        parity = await compare_with_lifetimes(store, settings, PARTITIONS, purchases, end)
        found = {
            customer_id
            async for _, states in all_states(store, settings, PARTITIONS)
            for customer_id in states.customer_ids
        }
    finally:
        await store.close()
    assert parity.differing == ()
    assert parity.equal == parity.customers == customers
    assert len(found) == customers


def worker_ids(project: ComposeProject) -> list[str]:
    return [container["Id"] for container in project.containers("worker")]


def health_of(container: str) -> str:
    return docker("exec", container, "everscore-health", "/tmp/heartbeat").strip()


def signal_worker(container: str, name: str) -> None:
    """To the worker itself, behind its init; `docker kill` would count as an operator's wish."""
    docker("exec", container, "sh", "-c", f"kill -{name} $(cat /proc/1/task/1/children)")


def test_topics_are_made_once_and_everything_else_is_up(project):
    (topics,) = project.containers("topics")
    assert (topics["State"]["Status"], topics["State"]["ExitCode"]) == ("exited", 0)
    up = [service_of(one) for one in project.containers() if one["State"]["Running"]]
    assert sorted(up) == ["kafka", "redis", "serve", "worker", "worker"]


def test_doctor_on_this_machine_finds_kafka_and_redis_behind_their_ports(project, settings):
    assert "fail" not in finish(host_command(settings, "doctor"))


def test_no_container_is_root_or_may_become_it(project):
    for container in project.containers():
        service = service_of(container)
        assert container["HostConfig"]["CapDrop"] == ["ALL"], service
        assert "no-new-privileges:true" in container["HostConfig"]["SecurityOpt"], service
        if container["State"]["Running"]:
            assert docker("exec", container["Id"], "id", "-u").strip() != "0", service
            assert docker("exec", container["Id"], "stat", "-c", "%u", "/proc/1").strip() != "0"
    assert inspect(worker_ids(project)[0])["Config"]["User"] == "10001:10001"


def test_every_container_has_limits_a_restart_policy_and_a_log_that_ends(project):
    for container in project.containers():
        service, host = service_of(container), container["HostConfig"]
        assert 0 < host["Memory"] <= 2**30, service
        assert 0 < host["PidsLimit"] <= 512, service
        assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"}, service
        policy = "no" if service == "topics" else "unless-stopped"
        assert host["RestartPolicy"]["Name"] == policy, service


def test_ports_are_published_on_this_machine_alone(project):
    published = {
        service_of(container): {binding["HostIp"] for binding in bindings or ()}
        for container in project.containers()
        for bindings in container["NetworkSettings"]["Ports"].values()
        if bindings
    }
    assert published == {name: {"127.0.0.1"} for name in ("kafka", "redis", "serve")}


def test_no_secret_is_in_a_container_or_an_image(project):
    told = docker("inspect", *(container["Id"] for container in project.containers()))
    for setting in NO_SECRETS:
        assert f'"{setting}"' in told
        told = told.replace(f'"{setting}"', "")
    image = docker("inspect", "everscore:latest")
    history = docker("history", "--no-trunc", "everscore:latest")
    for text in (told, image, history):
        assert len(text) > 1_000
        assert CANARY not in text
        assert not re.search(r'(PASSWORD|SECRET|TOKEN|API_KEY)[A-Z_]*"?[=:]', text)


def test_image_has_nothing_to_build_or_fetch_with(project):
    container = worker_ids(project)[0]
    programs = "pip pip3 gcc cc make git curl wget"
    found = docker("exec", container, "sh", "-c", f"command -v {programs} || true")
    assert found == ""
    modules = docker("exec", container, "python", "-c", "import importlib.util as u; "
                     "print(u.find_spec('pip'), u.find_spec('pytest'), u.find_spec('faust'))")  # fmt: skip
    assert modules.startswith("None None ModuleSpec"), modules


def test_two_workers_share_the_partitions_and_say_so(project):
    owned = [re.findall(r"\d+", health_of(container)) for container in worker_ids(project)]
    assert all(owned)
    assert sorted(int(partition) for one in owned for partition in one) == list(range(PARTITIONS))


async def test_purchases_replayed_from_this_machine_are_counted_equal_to_lifetimes(
    project, settings, purchases
):
    said = finish(host_command(settings, "replay", "cdnow", "--limit", str(SLICE)))
    assert f"published {SLICE:,}" in said
    progress = await until_read(project, settings, SLICE)
    assert (progress.applied, progress.duplicates, progress.dead) == (SLICE, 0, 0)
    await assert_equal_to_lifetimes(settings, purchases[:SLICE], progress.customers)


def get(project: ComposeProject, path: str, key: str | None = None) -> httpx.Response:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    return httpx.get(f"{project.api}{path}", headers=headers, timeout=30)


def make_key(project: ComposeProject, name: str, role: str) -> str:
    """As the compose file and the README say."""
    words = ("everscore", "key", "create", name, "--role", role)
    return project.compose("exec", "-T", "serve", *words).strip()


def opens(project: ComposeProject, key: str) -> bool:
    """Whether it does within a few seconds: servers look once a second."""
    deadline = time.monotonic() + KEY_SECONDS_MAX
    while get(project, "/welcome", key).status_code != 200:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def test_api_serves_its_page_to_all_and_customers_to_none_but_who_has_a_key(project):
    """Before the first key, and with one that is made in the running container."""
    page = get(project, "/")
    assert page.status_code == 200
    assert "<title>Everscore</title>" in page.text
    assert get(project, "/customers/00003").status_code == 401
    key = make_key(project, "phone", "pii-reader")
    assert opens(project, key)
    found = get(project, "/customers/00003", key).json()
    assert found["customer_id"] == "00003"
    assert found["prob_alive"] > 0
    assert project.compose("exec", "-T", "serve", "everscore", "key", "ls").count("phone") == 1
    written = project.compose("exec", "-T", "serve", "cat", "/var/lib/everscore/audit.jsonl")
    assert '"action": "customer"' in written
    assert "00003" not in written
    assert key not in project.logs()


async def test_worker_killed_under_load_comes_back_and_counts_each_purchase_once(
    project, settings, purchases
):
    """The first slice again, and another one: what was counted is recognised."""
    victim = worker_ids(project)[0]
    restarts = inspect(victim)["RestartCount"]
    replay = host_command(settings, "replay", "cdnow", "--limit", str(2 * SLICE))
    await until_read(project, settings, SLICE + 1)
    signal_worker(victim, "KILL")
    finish(replay)
    progress = await until_read(project, settings, 3 * SLICE)
    assert (progress.applied, progress.duplicates, progress.dead) == (2 * SLICE, SLICE, 0)
    await assert_equal_to_lifetimes(settings, purchases[: 2 * SLICE], progress.customers)
    project.wait(victim, "healthy")
    assert inspect(victim)["RestartCount"] == restarts + 1


def test_worker_that_stands_still_is_called_unhealthy_and_recovers(project):
    victim = worker_ids(project)[0]
    signal_worker(victim, "STOP")
    try:
        project.wait(victim, "unhealthy")
        assert "has not moved" in inspect(victim)["State"]["Health"]["Log"][-1]["Output"]
    finally:
        signal_worker(victim, "CONT")
    project.wait(victim, "healthy")


def test_stopped_worker_ends_by_itself_with_code_zero(project):
    victim = worker_ids(project)[0]
    docker("stop", victim)
    assert inspect(victim)["State"]["ExitCode"] == 0
    docker("start", victim)
    project.wait(victim, "healthy")


async def test_project_taken_down_and_up_again_has_everything(project, settings, purchases, say):
    before = await until_read(project, settings, 3 * SLICE)
    project.down(volumes=False)
    assert project.containers() == []
    say(f"warm up: everything healthy after {project.up(workers=2):.1f} s")
    again = await until_read(project, settings, 3 * SLICE)
    assert again == before
    names = project.compose("exec", "-T", "serve", "everscore", "key", "ls")
    assert "phone" in names
    await assert_equal_to_lifetimes(settings, purchases[: 2 * SLICE], again.customers)


def test_verify_finds_everything_as_the_log_has_it(project, settings):
    """After a kill, a standstill, a stop and a restart of everything."""
    assert finish(host_command(settings, "verify"))


def test_demo_of_this_machine_runs_on_the_containers(project, settings):
    said = finish(
        host_command(settings, "demo", "--kafka", settings.kafka, "--redis", settings.redis)
    )
    assert "23,570 of 23,570 customers equal to lifetimes" in " ".join(said.split())
