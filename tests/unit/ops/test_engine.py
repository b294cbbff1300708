"""A Docker engine of our own where none runs: started, stopped, and one line where it cannot be."""

import os

import pytest

from ops.stack.engine import engine_answers, running_engine
from schemas.errors import ConfigurationError


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A PATH with nothing of Docker's on it but what the test puts there; root."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    def put(name, text):
        path = programs / name
        path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{text}\n")
        path.chmod(0o755)

    put.up = tmp_path / "up"
    put.log = tmp_path / "log" / "dockerd.log"
    return put


def docker_that_asks(machine):
    machine("docker", f'[ -e "{machine.up}" ]')


def test_engine_that_runs_is_used_and_left_running(machine):
    docker_that_asks(machine)
    machine.up.touch()
    with running_engine(machine.log):
        assert engine_answers()
    assert machine.up.exists()
    assert not machine.log.exists()


def test_engine_is_started_where_none_runs_and_stopped_again(machine):
    docker_that_asks(machine)
    machine(
        "dockerd",
        f'trap \'rm "{machine.up}"; exit 0\' TERM\ntouch "{machine.up}"\n'
        "while :; do sleep 0.05; done",
    )
    with running_engine(machine.log):
        assert engine_answers()
    assert not engine_answers()


def test_engine_is_stopped_also_when_the_work_fails(machine):
    docker_that_asks(machine)
    machine(
        "dockerd",
        f'echo $$ >"{machine.up}.new"; mv "{machine.up}.new" "{machine.up}"; exec sleep 60',
    )
    with pytest.raises(ZeroDivisionError), running_engine(machine.log):
        raise ZeroDivisionError
    with pytest.raises(ProcessLookupError):
        os.kill(int(machine.up.read_text()), 0)


def test_engine_that_does_not_start_says_its_last_words(machine):
    docker_that_asks(machine)
    machine("dockerd", "echo 'failed to start daemon: no iptables' >&2; exit 1")
    with pytest.raises(ConfigurationError, match="no iptables"), running_engine(machine.log):
        pass


@pytest.mark.parametrize(("programs", "why"), [((), "no docker"), (("docker",), "no dockerd")])
def test_program_that_is_missing_is_named(machine, programs, why):
    for program in programs:
        machine(program, "exit 1")
    with pytest.raises(ConfigurationError, match=why), running_engine(machine.log):
        pass


def test_only_root_starts_an_engine(machine, monkeypatch):
    docker_that_asks(machine)
    machine("dockerd", "exit 1")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ConfigurationError, match="root"), running_engine(machine.log):
        pass
