"""How a replica can be made from here, and why it cannot."""

from __future__ import annotations

import pytest

from pilot_data.catalogue import DataUnitRecord, PilotDataRecord
from pilot_data.endpoints import Endpoint
from pilot_data.this_machine import host_of, this_machine
from pilot_data.ways import Here, Obstacle, Way, way_to
from pilot_protocol.data_records import ReplicaRecord
from pilot_protocol.states import State

HERE = Endpoint("file://", "localhost")


def store(name: str, url: str, state: State = State.Running) -> PilotDataRecord:
    return PilotDataRecord(name, "pds-a", {"service_url": url}, state)


STORES = {
    one.id: one
    for one in (
        store("pd-a", "file:///a"),
        store("pd-b", "file:///b"),
        store("pd-ssh", "ssh://far/c"),
        store("pd-away", "file:///of/another/machine"),
        store("pd-ended", "file:///e", State.Canceled),
    )
}
ME = Here("here/1", lambda record: record.id != "pd-away")


def unit(letters: str, *names: str, host: str = "", named: tuple[str, ...] = ()) -> DataUnitRecord:
    """Return a data unit with replicas at some Pilot-Data, in some states."""
    replicas = {
        name: ReplicaRecord("du-a", name, letter) for name, letter in zip(names, letters, strict=True)
    }
    return DataUnitRecord("du-a", {"file_urls": list(named)}, replicas=replicas, host=host)


def way(data_unit: DataUnitRecord, pilot_data: str) -> Way:
    found = way_to(data_unit, pilot_data, STORES, ME, STORES)
    assert isinstance(found, Way), found
    return found


def obstacle(data_unit: DataUnitRecord, pilot_data: str) -> Obstacle:
    found = way_to(data_unit, pilot_data, STORES, ME, STORES)
    assert isinstance(found, Obstacle), found
    return found


def test_the_first_replica_comes_from_what_was_named() -> None:
    found = way(unit("P", "pd-ssh", host="here/1", named=("/x", "s3://bucket/y")), "pd-ssh")
    assert (found.origin, found.named) == (None, ("/x", "s3://bucket/y"))
    assert found.ends == {HERE, Endpoint("ssh://", "far"), Endpoint("s3://", "bucket")}


def test_a_further_one_comes_from_a_whole_one_nearby() -> None:
    found = way(unit("DDP", "pd-ssh", "pd-b", "pd-a"), "pd-a")
    assert found.origin == STORES["pd-b"]
    assert found.ends == {HERE}
    assert way(unit("DP", "pd-ssh", "pd-a"), "pd-a").ends == {HERE, Endpoint("ssh://", "far")}


@pytest.mark.parametrize("letters", ["PP", "RP"])
def test_a_further_one_waits_for_the_first(letters: str) -> None:
    asked = unit(letters, "pd-b", "pd-a")
    assert obstacle(asked, "pd-a") == Obstacle("it is copied from pd-b, as soon as that has it")
    assert way(asked, "pd-b").origin is None


def test_the_first_one_is_the_first_that_can_be_made_here() -> None:
    asked = unit("PP", "pd-away", "pd-a")
    assert way(asked, "pd-a").origin is None
    assert obstacle(asked, "pd-away").is_elsewhere


def test_who_makes_only_some_does_not_wait_for_others_that_nobody_may_make() -> None:
    asked = unit("PP", "pd-a", "pd-b")
    found = way_to(asked, "pd-b", STORES, ME, ["pd-b"])
    assert isinstance(found, Way)
    assert found.origin is None


def test_two_whose_makers_have_died_do_not_wait_for_each_other() -> None:
    asked = unit("RR", "pd-a", "pd-b")
    assert way(asked, "pd-a").origin is way(asked, "pd-b").origin is None


def test_what_has_failed_is_not_waited_for() -> None:
    assert way(unit("FP", "pd-b", "pd-a"), "pd-a").origin is None


def test_local_files_of_another_machine_are_left_to_it() -> None:
    found = obstacle(unit("P", "pd-a", host="there/2", named=("/x",)), "pd-a")
    assert found == Obstacle("the files it is made of are on there; let pilot-data serve run there", True)
    assert way(unit("PD", "pd-a", "pd-b", host="there/2"), "pd-a").origin == STORES["pd-b"]


def test_a_host_of_the_same_name_is_another_machine() -> None:
    assert obstacle(unit("P", "pd-a", host="here/2", named=("/x",)), "pd-a").is_elsewhere


def test_what_only_another_machine_sees_is_left_to_it() -> None:
    to, of = obstacle(unit("P", "pd-away"), "pd-away"), obstacle(unit("DP", "pd-away", "pd-a"), "pd-a")
    assert to.is_elsewhere
    assert of.is_elsewhere
    assert "file:///of/another/machine" in to.reason
    assert "pd-away" in of.reason


def test_who_wants_a_replica_at_a_place_that_has_ended_is_to_learn_that() -> None:
    assert way(unit("P", "pd-ended"), "pd-ended").store.state is State.Canceled
    assert way(unit("DP", "pd-ended", "pd-a"), "pd-a").origin is None, "nothing is copied from there"


def test_this_machine_has_a_name_that_stays() -> None:
    assert this_machine() == this_machine()
    assert host_of(this_machine())
    assert "/" not in host_of("a/b")
