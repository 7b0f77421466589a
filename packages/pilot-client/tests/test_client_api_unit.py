"""The services and handles, against a real server and pilots without processes."""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from fake_agent import BAD, FakeAgent
from local_redis import LocalRedis
from pilot import (
    ComputeDataService,
    ComputeUnit,
    ComputeUnitDescription,
    ComputeUnitFailed,
    CoordinationError,
    DescriptionError,
    PilotCompute,
    PilotComputeService,
    Session,
    State,
    StateError,
    SubmissionError,
    UnsatisfiableRequestError,
)
from pilot.completion import Counts
from pilot.config import ClientConfig
from pilot.owned_units import OwnedUnits
from pilot.progress import ProgressLine
from pilot.submission import AgentEnd, Notify, PilotOrder, Ways
from pilot_protocol.operation import BATCH
from pilot_protocol.states import is_final
from pilot_session.redis_link import REPLY_S
from pilot_session.session_file import SessionFiles

TRUE = {"executable": "/bin/true"}
PILOT = {"service_url": "fork://localhost", "number_of_processes": 4, "walltime": 10}
LIMIT_S = 30.0


@dataclass
class FakePlaceholder:
    """A placeholder job without a process."""

    order: PilotOrder
    notify: Notify
    job: str = "4711"
    cores: int | None = 4
    handle: str = ""
    news: str = ""

    def wait(self, timeout_s: float) -> bool:
        return True

    def kill(self) -> None:
        threading.Thread(target=self.notify, args=(AgentEnd(self.order.pilot, -9, ""),)).start()


@dataclass
class FakeSubmitter:
    """Takes every pilot, unless it was told not to."""

    refuses: bool = False
    handle: str = ""
    """Of each placeholder."""
    placeholders: list[FakePlaceholder] = field(default_factory=list)
    attached: list[str] = field(default_factory=list)
    """Handles of the placeholders that were found again."""

    def submit(self, order: PilotOrder, notify: Notify) -> FakePlaceholder:
        if self.refuses:
            raise SubmissionError("the queue is closed")
        made = FakePlaceholder(order, notify, cores=order.spec.cores, handle=self.handle)
        self.placeholders.append(made)
        return made

    def attach(self, order: PilotOrder, handle: str, notify: Notify) -> FakePlaceholder:
        self.attached.append(handle)
        return FakePlaceholder(order, notify)

    def close(self) -> None:
        return


@pytest.fixture
def submitter(monkeypatch: pytest.MonkeyPatch) -> FakeSubmitter:
    made = FakeSubmitter()
    monkeypatch.setattr(Ways, "submitter_for", lambda _ways, _spec: made)
    return made


@pytest.fixture
def pilots(url: str, submitter: FakeSubmitter) -> PilotComputeService:
    return PilotComputeService(url)


@pytest.fixture
def work(pilots: PilotComputeService) -> ComputeDataService:
    made = ComputeDataService()
    made.add_pilot_compute_service(pilots)
    return made


@pytest.fixture
def agent_of() -> Iterator[Callable[[PilotCompute], FakeAgent]]:
    """Starts the fake agent of a pilot."""
    agents: list[FakeAgent] = []

    def start(pilot: PilotCompute) -> FakeAgent:
        agents.append(FakeAgent(pilot._session, pilot.id))
        return agents[-1]

    yield start
    for agent in agents:
        agent.close()


AgentOf = Callable[[PilotCompute], FakeAgent]


# --- pilots -----------------------------------------------------------------------------------------------------------


def test_a_pilot_is_pending_until_its_agent_registers(pilots: PilotComputeService, agent_of: AgentOf) -> None:
    pilot = pilots.create_pilot(pilot_compute_description=PILOT)
    assert (pilot.state, pilot.get_state(), pilot.id) == ("Pending", "Pending", pilot.get_id())
    assert pilot.wait(0, state="Running") is State.Pending
    agent = agent_of(pilot)
    assert pilot.wait(LIMIT_S, state="Running") is State.Running
    assert pilot.get_free_nodes() == 4
    agent.end()
    assert pilots.wait(LIMIT_S)
    assert pilot.get_free_nodes() == 0
    assert pilots.list_pilots() == [pilot]


def test_what_an_agent_is_told(pilots: PilotComputeService, submitter: FakeSubmitter) -> None:
    pilot = pilots.create_pilot(PILOT)
    order = submitter.placeholders[0].order
    assert order.pilot == pilot.id
    assert order.spec.walltime_s == 600
    assert set(order.settings) == {"coordination_url", "session", "key", "lease_s"}
    assert order.settings["key"] == pilots.session.key_hex
    assert pilots.session.key_hex not in repr(order)


@pytest.mark.parametrize(
    ("description", "said"),
    [
        ({**PILOT, "walltme": 10}, "did you mean 'walltime'"),
        ({**PILOT, "number_of_processes": 0}, "a whole number from 1"),
        ({"number_of_processes": 1}, "service_url"),
    ],
)
def test_a_bad_pilot_description_is_refused(
    pilots: PilotComputeService, description: dict[str, Any], said: str
) -> None:
    with pytest.raises(DescriptionError, match=said):
        pilots.create_pilot(description)
    assert pilots.list_pilots() == []


def test_a_pilot_that_its_resource_does_not_take_has_failed(
    pilots: PilotComputeService, submitter: FakeSubmitter
) -> None:
    submitter.refuses = True
    with pytest.raises(SubmissionError, match="the queue is closed"):
        pilots.create_pilot(PILOT)
    assert pilots.wait(LIMIT_S)
    (pilot,) = pilots.list_pilots()
    assert (pilot.state, pilot.details["message"]) == ("Failed", "the queue is closed")


def test_a_pilot_of_another_process_is_found_by_its_handle(
    pilots: PilotComputeService, submitter: FakeSubmitter
) -> None:
    submitter.handle = "job 7"
    pilot = pilots.create_pilot(PILOT)
    pilots.session.placeholders.clear()  # as it is in another process
    pilot.cancel()
    assert submitter.attached == ["job 7"]
    assert pilot.state is State.Canceled


def test_a_resource_that_is_not_reached_is_tried_once_by_a_cancel(
    pilots: PilotComputeService,
    submitter: FakeSubmitter,
    agent_of: AgentOf,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def attach(order: PilotOrder, handle: str, notify: Notify) -> FakePlaceholder:
        raise SubmissionError("no route to host")

    monkeypatch.setattr("pilot.pilot_ending.STOP_LIMIT_S", 0)
    monkeypatch.setattr("pilot.pilot_ending.KILL_LIMIT_S", 0)
    monkeypatch.setattr(submitter, "attach", attach)
    submitter.handle = "job 7"
    pilot = pilots.create_pilot(PILOT)
    agent = agent_of(pilot)
    pilot.wait(LIMIT_S, state="Running")
    pilots.session.placeholders.clear()  # as it is in another process
    pilot.cancel()
    assert [record.message for record in caplog.records] == [
        f"the job of pilot {pilot.id} is not watched: no route to host",
        f"pilots {pilot.id} do not answer; they end with their lease",
    ]
    agent.end()


def test_a_job_that_cannot_be_removed_is_named(
    pilots: PilotComputeService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def kill(_placeholder: FakePlaceholder) -> None:
        raise SubmissionError("the queue does not answer")

    monkeypatch.setattr("pilot.pilot_ending.STOP_LIMIT_S", 0)
    monkeypatch.setattr("pilot.pilot_ending.KILL_LIMIT_S", 0)
    pilot = pilots.create_pilot(PILOT)
    with monkeypatch.context() as silent:
        silent.setattr(FakePlaceholder, "kill", kill)
        pilot.cancel()
    assert (
        f"job 4711 of pilot {pilot.id} is not removed, do it by hand: the queue does not answer"
        in caplog.text
    )
    pilot.cancel()


@pytest.mark.parametrize(("registers", "reason"), [(False, "start"), (True, "lost")])
def test_an_agent_that_dies_ends_its_pilot(
    pilots: PilotComputeService, submitter: FakeSubmitter, agent_of: AgentOf, registers: bool, reason: str
) -> None:
    pilot = pilots.create_pilot(PILOT)
    if registers:
        agent_of(pilot)
        pilot.wait(LIMIT_S, state="Running")
    submitter.placeholders[0].notify(AgentEnd(pilot.id, 1, "Traceback\nNo module named redis\n"))
    assert pilots.wait(LIMIT_S)
    details = pilot.details
    assert (details["state"], details["reason"]) == ("Failed", reason)
    assert "exit code 1" in details["message"]
    assert "No module named redis" in details["message"]


def test_the_end_of_a_pilot_that_could_not_be_told_is_told_later(
    pilots: PilotComputeService, submitter: FakeSubmitter, server: LocalRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pilots.session.store.link, "_patience_s", 0)
    pilot = pilots.create_pilot(PILOT)
    server.stop()
    submitter.placeholders[0].notify(AgentEnd(pilot.id, 1, "", "NODE_FAIL"))
    server.start()
    assert pilots.wait(LIMIT_S)
    assert pilot.details["message"] == "the agent ended before it had started, exit code 1 (NODE_FAIL)"


def test_canceling_a_pilot_that_has_not_started(pilots: PilotComputeService) -> None:
    pilot = pilots.create_pilot(PILOT)
    pilot.cancel()
    assert (pilot.state, pilot.details["reason"]) == ("Canceled", "canceled")
    pilot.cancel()


def test_canceling_a_running_pilot_asks_its_agent(pilots: PilotComputeService, agent_of: AgentOf) -> None:
    pilot = pilots.create_pilot(PILOT)
    agent = agent_of(pilot)
    pilot.wait(LIMIT_S, state="Running")
    thread = threading.Thread(target=pilots.cancel)
    thread.start()
    while not (orders := agent.controls()):
        pass
    agent.end()
    thread.join(LIMIT_S)
    assert ([order.verb for order in orders], pilot.state) == (["stop"], "Done")


def test_an_agent_that_does_not_listen_is_killed(
    pilots: PilotComputeService, agent_of: AgentOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pilot.pilot_ending.STOP_LIMIT_S", 0)
    pilot = pilots.create_pilot(PILOT)
    agent_of(pilot)
    pilot.wait(LIMIT_S, state="Running")
    pilots.cancel()
    assert pilot.state == "Canceled"


def test_leaving_the_block_cancels(url: str, submitter: FakeSubmitter) -> None:
    with PilotComputeService(url) as pilots, ComputeDataService(session=pilots.session) as work:
        pilot = pilots.create_pilot(PILOT)
        work.add_pilot_compute_service(pilots)
        unit = work.submit_compute_unit(TRUE)
    assert (pilot.state, work.state) == ("Canceled", "Done")
    assert unit.wait(LIMIT_S) == "Canceled"


# --- units ------------------------------------------------------------------------------------------------------------


def test_a_unit_from_its_submission_to_its_output(
    pilots: PilotComputeService, work: ComputeDataService, agent_of: AgentOf
) -> None:
    unit = work.submit_compute_unit(ComputeUnitDescription(executable="/bin/echo", arguments=["hi"]))
    assert (unit.state, unit.exit_code) == ("Pending", None)
    assert agent_of(pilots.create_pilot(PILOT)).finish_all() == 1
    assert unit.wait(LIMIT_S) == State.Done
    assert (unit.exit_code, unit.stdout(), unit.stderr(), unit.result()) == (0, "hello\n", "", unit)


def test_the_agent_gets_what_the_user_described(
    pilots: PilotComputeService, work: ComputeDataService, agent_of: AgentOf
) -> None:
    work.submit_compute_units({"executable": "/bin/echo", "arguments": [str(n)]} for n in range(BATCH + 3))
    agent = agent_of(pilots.create_pilot(PILOT))
    leased = agent.claim(BATCH) + agent.claim(BATCH)
    assert [one["arguments"] for one in agent.descriptions(leased)] == [[str(n)] for n in range(BATCH + 3)]


def test_a_failed_unit_says_why(
    pilots: PilotComputeService, work: ComputeDataService, agent_of: AgentOf
) -> None:
    unit = work.submit_compute_unit(TRUE)
    agent_of(pilots.create_pilot(PILOT)).finish_all(BAD)
    with pytest.raises(ComputeUnitFailed, match="exit code 3") as caught:
        unit.result(LIMIT_S)
    assert (caught.value.unit_id, caught.value.reason, caught.value.exit_code) == (unit.id, "exit", 3)
    assert "no such file" in str(caught.value)


def test_asking_too_early(pilots: PilotComputeService, work: ComputeDataService) -> None:
    pilots.create_pilot(PILOT)
    unit = work.submit_compute_unit(TRUE)
    assert unit.wait(0) == "Pending"
    with pytest.raises(TimeoutError, match="has not ended in time"):
        unit.result(0)
    with pytest.raises(StateError, match="its output is there when it has ended"):
        unit.stdout()
    assert unit.get_local_working_directory() is None


def test_ids_count_up_without_gaps_and_handles_are_equal(work: ComputeDataService) -> None:
    units = [work.submit_compute_unit(TRUE), *work.submit_compute_units([TRUE] * 2)]
    group = units[0].id.rpartition("-")[0]
    assert [unit.id for unit in units] == [f"{group}-{n}" for n in range(3)]
    assert work.list_compute_units() == units
    assert work.get_compute_unit(units[1].id) == units[1]
    assert len({*units, *work.list_compute_units()}) == 3
    assert units[0] != units[1]
    assert units[0] != units[0].id


def test_of_a_list_nothing_is_submitted_unless_all_is_good(work: ComputeDataService) -> None:
    with pytest.raises(DescriptionError, match="did you mean 'executable'"):
        work.submit_compute_units([TRUE] * (BATCH + 1) + [{"executble": "/bin/true"}])
    assert work.list_compute_units() == []
    assert work.submit_compute_unit(TRUE).id.endswith("-0")


def test_of_a_generator_the_good_batches_are_submitted(work: ComputeDataService) -> None:
    with pytest.raises(DescriptionError):
        work.submit_compute_units(TRUE if n < BATCH else {} for n in range(BATCH + 1))
    assert len(work.list_compute_units()) == BATCH


def test_no_units_are_no_trouble(work: ComputeDataService) -> None:
    assert work.submit_compute_units([]) == []
    assert work.wait(0)


def test_a_failed_submission_leaves_no_gap_and_nothing_to_wait_for(
    work: ComputeDataService, server: LocalRedis
) -> None:
    first = work.submit_compute_unit(TRUE)
    server.command("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(CoordinationError, match="memory is full"):
        work.submit_compute_units([TRUE] * 3)
    server.command("CONFIG", "SET", "maxmemory", "0")
    later = work.submit_compute_unit(TRUE)
    assert later.id.rpartition("-")[0] != first.id.rpartition("-")[0]
    assert work.list_compute_units() == [first, later]
    assert sum(work.counts.values()) == 2


def test_a_unit_larger_than_its_pilot_is_refused(pilots: PilotComputeService) -> None:
    pilot = pilots.create_pilot(PILOT)
    with pytest.raises(UnsatisfiableRequestError, match=f"asks for 64 cores, pilot {pilot.id} has 4"):
        pilot.submit_compute_unit({**TRUE, "number_of_processes": 16, "threads_per_process": 4})


def test_a_unit_larger_than_every_pilot_is_refused(
    pilots: PilotComputeService, work: ComputeDataService
) -> None:
    large = {**TRUE, "number_of_processes": 5}
    unit = work.submit_compute_unit(large)  # a larger pilot may still come
    pilots.create_pilot(PILOT)
    second = pilots.create_pilot(PILOT)
    with pytest.raises(UnsatisfiableRequestError, match="asks for 5 cores, the largest pilot, p-"):
        work.submit_compute_unit(large)
    assert unit.details["reason"] == "needs 5 cores, the largest pilot has 4"
    pilots.cancel()
    assert second.state == "Canceled"
    work.submit_compute_unit(large)


def test_predecessors(pilots: PilotComputeService, work: ComputeDataService, agent_of: AgentOf) -> None:
    first = work.submit_compute_unit(TRUE)
    second = work.submit_compute_unit({**TRUE, "depends_on": [first]})
    third = work.submit_compute_unit({**TRUE, "depends_on": [second.id], "on_dependency_failure": "run"})
    assert second.details["reason"] == "waits for 1 predecessor"
    agent_of(pilots.create_pilot(PILOT)).finish_all(BAD)
    assert (second.wait(LIMIT_S), third.wait(LIMIT_S)) == ("Canceled", "Failed")
    assert (second.details["reason"], second.details["message"]) == (
        "dependency",
        f"predecessor {first.id} did not end well",
    )


@pytest.mark.parametrize("name", ["cu-zzzzzz-7", "nonsense"])
def test_an_unknown_predecessor_is_refused(work: ComputeDataService, name: str) -> None:
    with pytest.raises(DescriptionError, match=f"depends_on names {name}"):
        work.submit_compute_units([TRUE, {**TRUE, "depends_on": [name]}])
    assert work.list_compute_units() == []


def test_a_predecessor_of_another_process_is_found(url: str, work: ComputeDataService) -> None:
    first = work.submit_compute_unit(TRUE)
    del work._units.session.tracker.groups[first.id.rpartition("-")[0]]  # type: ignore[union-attr]
    assert (
        work.submit_compute_unit({**TRUE, "depends_on": [first.id]}).details["reason"]
        == "waits for 1 predecessor"
    )


def test_canceling_units(pilots: PilotComputeService, work: ComputeDataService, agent_of: AgentOf) -> None:
    running, waiting = work.submit_compute_units([TRUE] * 2)
    agent = agent_of(pilots.create_pilot(PILOT))
    agent.report(agent.claim(1), "R")
    running.cancel()
    waiting.cancel()
    assert waiting.wait(LIMIT_S) == "Canceled"
    assert [(order.verb, order.unit) for order in agent.controls()] == [("cancel", running.id)]
    waiting.cancel()


def test_two_objects_number_their_own_groups(pilots: PilotComputeService, work: ComputeDataService) -> None:
    pilot = pilots.create_pilot(PILOT)
    direct, shared = pilot.submit_compute_unit(TRUE), work.submit_compute_unit(TRUE)
    assert direct.id != shared.id
    assert (pilot.list_compute_units(), work.list_compute_units()) == ([direct], [shared])
    with pytest.raises(StateError, match=f"not submitted to {work.id} but to {pilot.id}"):
        work.get_compute_unit(direct.id)


def test_an_ended_pilot_takes_no_units(pilots: PilotComputeService) -> None:
    pilot = pilots.create_pilot(PILOT)
    pilot.cancel()
    with pytest.raises(StateError, match=f"pilot {pilot.id} is Canceled: it takes no more"):
        pilot.submit_compute_unit(TRUE)
    pilot._pilot.state = State.Running  # the news have not come yet
    with pytest.raises(StateError, match="submit to another pilot"):
        pilot.submit_compute_unit(TRUE)


# --- waiting ----------------------------------------------------------------------------------------------------------


def test_waiting_for_all_units(
    pilots: PilotComputeService, work: ComputeDataService, agent_of: AgentOf
) -> None:
    work.submit_compute_units([TRUE] * 5)
    pilot = pilots.create_pilot(PILOT)
    assert not work.wait(0)
    agent_of(pilot).finish_all()
    assert work.wait(LIMIT_S)
    assert {state: number for state, number in work.counts.items() if number} == {State.Done: 5}


def test_waiting_without_a_pilot_returns_and_says_so(work: ComputeDataService) -> None:
    unit = work.submit_compute_units([TRUE] * 2)[0]
    with pytest.warns(RuntimeWarning, match="2 compute units wait, and no pilot is left"):
        assert not work.wait()
    with pytest.warns(RuntimeWarning, match="1 compute unit waits"):
        assert unit.wait() == "Pending"
    with pytest.warns(RuntimeWarning):
        assert list(work.as_completed()) == []


def test_waiting_ends_with_the_last_pilot_and_says_why_it_failed(
    pilots: PilotComputeService, work: ComputeDataService, submitter: FakeSubmitter
) -> None:
    pilot = pilots.create_pilot(PILOT)
    work.submit_compute_unit(TRUE)
    submitter.placeholders[0].notify(AgentEnd(pilot.id, 3, "no module named redis"))
    with pytest.warns(RuntimeWarning, match=f"pilot {pilot.id} failed: .*exit code 3.*\n.*no module"):
        assert not work.wait(LIMIT_S)


def test_a_unit_that_no_pilot_could_run_is_reported_when_nothing_else_gets_on(
    pilots: PilotComputeService, work: ComputeDataService, agent_of: AgentOf
) -> None:
    large, small = work.submit_compute_units([{**TRUE, "number_of_processes": 5}, TRUE])
    after = work.submit_compute_unit({**TRUE, "depends_on": [large]})
    agent = agent_of(pilots.create_pilot(PILOT))
    said = "no pilot could run them: one needs 5 cores, the largest pilot has 4; create a larger pilot"
    with pytest.warns(RuntimeWarning, match=f"1 compute unit waits, and {said}"):
        assert large.wait() == "Pending"
    assert not work.wait(0), "the small one may still run, so nothing is said"
    agent.finish_all()
    with pytest.warns(RuntimeWarning, match=f"2 compute units wait, and {said}"):
        assert not work.wait()
    with pytest.warns(RuntimeWarning):
        assert list(work.as_completed()) == [small]
    with pytest.warns(RuntimeWarning):
        assert after.wait() == "Pending"


def test_a_pilot_of_unknown_size_is_believed_to_be_large_until_its_agent_has_said_what_it_has(
    pilots: PilotComputeService, work: ComputeDataService, submitter: FakeSubmitter, agent_of: AgentOf
) -> None:
    unit = work.submit_compute_unit({**TRUE, "number_of_processes": 5})
    pilot = pilots.create_pilot({"service_url": "fork://localhost", "number_of_nodes": 1})
    assert unit.wait(0) == "Pending"
    agent_of(pilot)
    with pytest.warns(RuntimeWarning, match="one needs 5 cores"):
        assert not work.wait(LIMIT_S)


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"gpus_per_process": 2}, "asks for 2 GPUs, pilot p-.* has 1"),
        ({"memory_mb": 1001}, "asks for 1001 MB of memory, pilot p-.* has 1000"),
        ({"number_of_processes": 3}, "asks for 3 cores on one node, pilot p-.* has 2"),
    ],
)
def test_what_a_pilot_has_is_more_than_cores(
    pilots: PilotComputeService, work: ComputeDataService, wish: dict[str, int], said: str
) -> None:
    pilots.create_pilot({
        "service_url": "fork://localhost", "number_of_nodes": 1, "processes_per_node": 2, "gpus_per_node": 1,
        "memory_per_node_mb": 1000,
    })  # fmt: skip
    pilots.list_pilots()[0]._pilot.cores = 4
    with pytest.raises(UnsatisfiableRequestError, match=said):
        work.submit_compute_unit({**TRUE, **wish})


@pytest.mark.parametrize("leave", ["cancel", "remove_pilot_compute_service"])
def test_what_a_pilot_has_taken_is_waited_for_after_the_service_has_let_go_of_it(
    pilots: PilotComputeService, work: ComputeDataService, agent_of: AgentOf, leave: str
) -> None:
    unit = work.submit_compute_unit(TRUE)
    agent = agent_of(pilots.create_pilot(PILOT))
    leased = agent.claim()
    agent.report(leased, "R")
    getattr(work, leave)(*([pilots] if leave.startswith("remove") else []))
    assert not work.wait(0)
    assert unit.wait(0) in {"Pending", "Running"}
    agent.report(leased, "D")
    assert work.wait(LIMIT_S)


def test_what_an_emptied_server_may_get_back_is_waited_for(
    pilots: PilotComputeService, work: ComputeDataService, server: LocalRedis, agent_of: AgentOf
) -> None:
    unit = work.submit_compute_unit(TRUE)
    agent = agent_of(pilots.create_pilot(PILOT))
    agent.report(agent.claim(), "R")
    work.remove_pilot_compute_service(pilots)
    server.command("FLUSHALL", "SYNC")
    assert not is_final(unit.wait(0))
    assert not work.wait(0)


def test_what_a_pilot_gave_back_after_the_service_has_let_go_of_it_is_not_waited_for(
    pilots: PilotComputeService, work: ComputeDataService, agent_of: AgentOf
) -> None:
    unit = work.submit_compute_unit(TRUE)
    agent = agent_of(pilots.create_pilot(PILOT))
    leased = agent.claim()
    agent.report(leased, "R")
    work.remove_pilot_compute_service(pilots)
    assert unit.wait(0) in {"Pending", "Running"}
    agent.report(leased, "L")
    with pytest.warns(RuntimeWarning, match="no pilot is left"):
        assert unit.wait() == "Pending"


@pytest.fixture
def elsewhere(pilots: PilotComputeService) -> Iterator[Session]:
    """The same session as another process has it."""
    files = SessionFiles(ClientConfig.from_environment().sessions_dir)
    other = Session(files.load(pilots.session.id))
    yield other
    other.close()


def test_units_of_other_processes_are_waited_for_and_canceled(
    pilots: PilotComputeService, work: ComputeDataService, agent_of: AgentOf, elsewhere: Session
) -> None:
    pilot = pilots.create_pilot(PILOT)
    theirs = OwnedUnits(elsewhere, work.id, list)
    for _ in range(2):  # the second is one more of a group that is known
        theirs.submit([TRUE])
        assert not work.wait(0)
    OwnedUnits(elsewhere, pilot.id, list).submit([TRUE])
    agent_of(pilot)
    assert pilot.wait(0) in {"Pending", "Running"}
    assert sum(group.open for group in pilots.session.tracker.groups_of(pilot.id)) == 1
    late = theirs.submit([TRUE])
    work.cancel()
    assert work.wait(LIMIT_S)
    assert late[0].wait(LIMIT_S) == "Canceled"


def test_the_pilot_waits_for_its_own_units(pilots: PilotComputeService, agent_of: AgentOf) -> None:
    pilot = pilots.create_pilot(PILOT)
    assert pilot.wait() is State.Pending  # nothing to wait for
    pilot.submit_compute_unit(TRUE)
    agent_of(pilot).finish_all()
    assert pilot.wait(LIMIT_S) is State.Running


def test_units_as_they_end(pilots: PilotComputeService, work: ComputeDataService, agent_of: AgentOf) -> None:
    units = work.submit_compute_units([TRUE] * 4)
    agent = agent_of(pilots.create_pilot(PILOT))
    leased = agent.claim()
    agent.report(leased[2:3], "D")
    ended = work.as_completed([*units, units[0]], LIMIT_S)
    assert next(ended) == units[2]
    agent.report(leased[:2], "D")
    assert [next(ended), next(ended)] == units[:2]
    with pytest.raises(TimeoutError, match="1 compute unit has not ended"):
        list(work.as_completed(units, 0))
    agent.report(leased[3:], "D")
    assert list(ended) == units[3:]


def test_units_of_another_session_are_not_waited_for(work: ComputeDataService, url: str) -> None:
    other = Session.create(url)
    unit = ComputeDataService(session=other).submit_compute_unit(TRUE)
    with pytest.raises(StateError, match="do not belong to session"):
        work.as_completed([unit])
    other.close()


def test_progress_is_shown(pilots: PilotComputeService, work: ComputeDataService, agent_of: AgentOf) -> None:
    work.submit_compute_units([TRUE] * 3)
    agent_of(pilots.create_pilot(PILOT)).finish_all()
    shown: list[int] = []
    assert work.wait(LIMIT_S, progress=lambda counts: shown.append(counts[State.Done]))
    assert shown[-1] == 3
    assert shown == sorted(set(shown))


def test_the_last_progress_is_shown_however_soon_the_last_unit_ends(
    pilots: PilotComputeService, work: ComputeDataService, agent_of: AgentOf
) -> None:
    unit = work.submit_compute_unit(TRUE)
    agent = agent_of(pilots.create_pilot(PILOT))
    shown: list[int] = []

    def show(counts: Counts) -> None:
        shown.append(counts[State.Done])
        agent.finish_all()
        assert pilots.session.wait_for(lambda: unit.state is State.Done, LIMIT_S)

    assert work.wait(LIMIT_S, progress=show)
    assert shown == [0, 1]


def test_a_wait_ends_in_time_although_the_server_stands_still(
    pilots: PilotComputeService,
    work: ComputeDataService,
    server: LocalRedis,
    caplog: pytest.LogCaptureFixture,
) -> None:
    unit = work.submit_compute_unit(TRUE)
    pilot = pilots.create_pilot(PILOT)
    work.remove_pilot_compute_service(pilots)
    started = time.monotonic()
    with caplog.at_level(logging.CRITICAL), server.standing_still():
        assert unit.wait(0.2) == "Pending"
        assert not work.wait(0.2)
        assert pilot.wait(0.2) == "Pending"
    assert time.monotonic() - started < REPLY_S


def test_the_progress_line(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr("sys.stderr", screen)
    line = ProgressLine()
    line({State.Pending: 2, State.Done: 0})
    line({State.Pending: 1, State.Done: 1})
    line({State.Pending: 0, State.Done: 1, State.Failed: 1})
    assert screen.getvalue().splitlines() == ["0 of 2 ended: 2 Pending", "2 of 2 ended: 1 Done, 1 Failed"]


# --- sessions and URLs ------------------------------------------------------------------------------------------------


def test_services_of_one_server_share_a_session(url: str, work: ComputeDataService) -> None:
    assert PilotComputeService(url).session is PilotComputeService(url).session
    ComputeDataService(url).add_pilot_compute_service(PilotComputeService(url))


def test_a_service_of_another_session_is_refused(url: str, work: ComputeDataService) -> None:
    other = Session.create(url)
    with pytest.raises(DescriptionError, match=f"lives in session {other.id}"):
        work.add_pilot_compute_service(PilotComputeService(session=other))
    with pytest.raises(DescriptionError, match="leave the URL out"):
        PilotComputeService("redis://elsewhere", session=other)
    other.close()


def test_units_may_come_before_services(url: str, pilots: PilotComputeService, agent_of: AgentOf) -> None:
    work = ComputeDataService()
    unit = work.submit_compute_unit(TRUE)
    work.add_pilot_compute_service(pilots)
    agent_of(pilots.create_pilot(PILOT)).finish_all()
    assert unit.wait(LIMIT_S) == "Done"


def test_several_services_work_for_one(url: str, work: ComputeDataService, agent_of: AgentOf) -> None:
    second = PilotComputeService(url)
    work.add_pilot_compute_service(second)
    pilot = second.create_pilot(PILOT)
    unit = work.submit_compute_unit(TRUE)
    assert work.list_pilot_compute() == [pilot]
    assert len(work.details["pilot_compute_services"]) == 2
    work.remove_pilot_compute_service(second)
    assert agent_of(pilot).claim() == []
    assert unit.state == "Pending"


def test_coming_back_by_url(pilots: PilotComputeService, work: ComputeDataService, agent_of: AgentOf) -> None:
    pilot = pilots.create_pilot(PILOT)
    units = work.submit_compute_units([TRUE] * 3)
    direct = pilot.submit_compute_unit(TRUE)
    urls = (pilots.url, pilot.url, work.url, units[1].url)
    _leave(pilots.session)
    again = PilotCompute(pilot_url=urls[1])
    assert (again.id, again.list_compute_units()[0].id) == (pilot.id, direct.id)
    unit = ComputeUnit(cu_url=urls[3])
    assert (unit.id, unit.state, unit.url) == (units[1].id, "Pending", urls[3])
    service = ComputeDataService(urls[2])
    assert [one.id for one in service.list_compute_units()] == [one.id for one in units]
    assert [one.id for one in PilotComputeService(pcs_url=urls[0]).list_pilots()] == [pilot.id]
    service.submit_compute_unit(TRUE)
    agent_of(again).finish_all()
    assert service.wait(LIMIT_S)
    assert (unit.state, service.counts[State.Done]) == ("Done", 4)


def _leave(session: Session) -> None:
    """Forget a session as if another process went on with it."""
    from pilot import open_sessions

    session._at_end.clear()
    session.close()
    open_sessions._open.clear()


def test_a_url_of_something_else_or_of_nothing(pilots: PilotComputeService, work: ComputeDataService) -> None:
    unit = work.submit_compute_unit(TRUE)
    with pytest.raises(DescriptionError, match=r"that of 'cu-.*'; that of a pilot is needed"):
        PilotCompute(pilot_url=unit.url)
    with pytest.raises(StateError, match="has no compute unit"):
        ComputeUnit(cu_url=unit.url.replace(unit.id, "cu-zzzzzz-0"))
    with pytest.raises(StateError, match="has no pilot"):
        PilotCompute(pilot_url=pilots.url.replace("pcs=" + pilots.id, "pilot=p-zzzzzzzz"))
    with pytest.raises(CoordinationError, match="is not known here"):
        ComputeUnit(cu_url=unit.url.replace(pilots.session.id, "s-" + "z" * 16))


def test_no_url_shows_a_password(short_folder: Any, home: Any, submitter: FakeSubmitter) -> None:
    server = LocalRedis(short_folder)
    server.command("CONFIG", "SET", "requirepass", "s3cret")
    pilots = PilotComputeService(f"unix://:s3cret@{server.socket}")
    work = ComputeDataService(session=pilots.session)
    shown = [pilots.url, work.url, work.submit_compute_unit(TRUE).url, repr(pilots), repr(pilots.session)]
    assert "s3cret" not in " ".join(shown)
    pilots.session.close()
    server.stop()


# --- plain mistakes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["nonsense", "cu-aaaaaa-0", "cu-aaaaaa-", "", 7, "cu-aaaaaa-99999999999999999999"]
)
def test_a_unit_that_there_is_not_leaves_nothing_behind(work: ComputeDataService, name: Any) -> None:
    with pytest.raises(StateError, match="has no compute unit"):
        work.get_compute_unit(name)
    assert not work._session.tracker.groups


@pytest.mark.parametrize("timeout", ["3", True, float("nan"), [1]])
def test_a_timeout_is_a_number(pilots: PilotComputeService, work: ComputeDataService, timeout: Any) -> None:
    pilot = pilots.create_pilot(PILOT)
    unit = work.submit_compute_unit(TRUE)
    for wait in (
        pilots.wait,
        pilot.wait,
        work.wait,
        unit.wait,
        unit.result,
        lambda t: work.as_completed(None, t),
    ):
        with pytest.raises(DescriptionError, match="a number of seconds is allowed, or None"):
            wait(timeout)


def test_other_plain_mistakes(pilots: PilotComputeService, work: ComputeDataService) -> None:
    pilot = pilots.create_pilot(PILOT)
    unit = work.submit_compute_unit(TRUE)
    with pytest.raises(DescriptionError, match="state is 'Bogus'; allowed: Unknown, New, Pending"):
        pilot.wait(0, state="Bogus")
    with pytest.raises(DescriptionError, match=r"'cu-.*' is no ComputeUnit; give those"):
        work.as_completed([unit.id])  # type: ignore[list-item]
    for make in (PilotComputeService, ComputeDataService):
        with pytest.raises(DescriptionError, match="a URL is a int; text is needed"):
            make(123)  # type: ignore[arg-type]


def test_a_canceled_service_takes_no_units(work: ComputeDataService) -> None:
    work.cancel()
    with pytest.raises(StateError, match="was canceled: it takes no more compute units"):
        work.submit_compute_unit(TRUE)


def test_canceling_without_a_server_kills_all_the_same(
    pilots: PilotComputeService,
    submitter: FakeSubmitter,
    server: LocalRedis,
    agent_of: AgentOf,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(pilots.session.store.link, "_patience_s", 0)
    made = [pilots.create_pilot(PILOT) for _ in range(2)]
    agent_of(made[1])
    assert made[1].wait(LIMIT_S, state="Running") is State.Running
    killed: list[str] = []
    monkeypatch.setattr(FakePlaceholder, "kill", lambda self: killed.append(self.order.pilot))
    with caplog.at_level(logging.CRITICAL):
        server.stop()
        with pytest.raises(CoordinationError, match="cannot be reached"):
            pilots.cancel()
        server.start()
    assert set(killed) == {pilot.id for pilot in made}
