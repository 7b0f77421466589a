"""Programs in the style of BigJob's users run as they are: plain dicts, polling loops, `get_x()`, old keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from child_program import Ended, run_python

SCRIPTS = Path(__file__).with_name("bigjob_scripts")


@pytest.fixture
def user(environment: Mapping[str, str], any_redis_url: str) -> dict[str, str]:
    """The environment of a user who has a Redis server."""
    return {**environment, "COORDINATION_URL": any_redis_url}


def run_script(user: Mapping[str, str], name: str) -> Ended:
    return run_python(SCRIPTS / name, user)


def test_simple_ensemble(user: dict[str, str]) -> None:
    ended = run_script(user, "simple_ensemble.py")
    ended.check_clean()
    assert ended.lines[-7:-1] == [f"Done: I am task number {number}" for number in range(6)]


def test_chained_ensemble(user: dict[str, str]) -> None:
    ended = run_script(user, "chained_ensemble.py")
    ended.check_clean()
    assert ended.lines == 4 * ["B task: Done"]


def test_coupled_ensembles(user: dict[str, str]) -> None:
    ended = run_script(user, "coupled_ensembles.py")
    ended.check_clean()
    assert ended.lines == [f"task {name} {number}" for name in "ABC" for number in range(3)]


def test_decentral_service_with_affinity(user: dict[str, str]) -> None:
    ended = run_script(user, "decentral_with_affinity.py")
    ended.check_clean()
    assert ended.lines == [
        "pilots: 2 2",
        "compute units: 8",
        *(f"cu {number} Done True" for number in range(8)),
        "service: Running cds-",
        "pilots now: 0",
    ]


def test_central_service_with_two_pilot_compute_services(user: dict[str, str]) -> None:
    ended = run_script(user, "central.py")
    ended.check_clean()
    assert ended.lines == ["True"]


def test_direct_submission_and_every_detail(user: dict[str, str]) -> None:
    ended = run_script(user, "direct_with_details.py")
    ended.check_clean()
    assert ended.lines == [
        "state of a new pilot is known: True",
        "compute unit: Done",
        "pilot: Running, free nodes: 1",
        "missing in the details of the unit: []",
        "times in order: True",
        "queue time and run time are numbers: True True",
        "missing in the details of the pilot: []",
        "units of the pilot: Done",
        "the same pilot by URL: True",
        "the same unit by URL: True Done",
        "Hello World",
        "after cancel: True",
    ]


def test_reconnecting_to_a_pilot_whose_client_is_gone(user: dict[str, str], any_redis_url: str) -> None:
    program = SCRIPTS / "reconnect.py"
    started = run_python(program, user, something_stays=True)
    assert (started.code, started.stderr) == (0, "")
    (url,) = started.lines
    password = re.search(r":(\w+)@", any_redis_url)
    assert password is None or password[1] not in url
    ended = run_python(program, user, url)
    ended.check_clean()
    assert ended.lines == ["Done", "Done", "pilot: Running"]


def test_throughput_with_old_keys_that_warn(user: dict[str, str]) -> None:
    ended = run_script(user, "throughput.py")
    assert (ended.code, ended.left) == (0, ())
    assert ended.lines == ["Number of jobs: 128, runtime known: True", "Done: 128"]
    warnings = [line for line in ended.stderr.splitlines() if not line.startswith(" ")]
    assert all("DeprecationWarning" in line and "throughput.py" in line for line in warnings)
    for key in ("number_executor_threads", "total_core_count", "wall_time_limit"):
        assert any(key in line for line in warnings)


def test_failures_and_cancel(user: dict[str, str]) -> None:
    ended = run_script(user, "failures_and_cancel.py")
    ended.check_clean()
    assert ended.lines == [
        "exit code 255: Failed",
        "canceled: Canceled",
        "PilotError: True",
        "my own",
    ]


def test_password_in_the_place_of_the_user(environment: dict[str, str], redis_url_with_password: str) -> None:
    # redis://password@host was BigJob's form.
    old_form = redis_url_with_password.replace("redis://:", "redis://")
    ended = run_python(SCRIPTS / "coupled_ensembles.py", {**environment, "COORDINATION_URL": old_form})
    assert (ended.code, ended.left, len(ended.lines)) == (0, (), 9)
    assert "DeprecationWarning" in ended.stderr
    assert old_form.partition("@")[0].removeprefix("redis://") not in ended.stderr
