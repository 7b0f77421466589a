"""What every catalogue keeps to. Derive from `CatalogueSuite`, and give it the fixture ``catalogue``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pilot_data.catalogue import Catalogue, Claim, DataUnitRecord, PilotDataRecord
from pilot_data.errors import NoSpaceError
from pilot_protocol.data_records import FileRecord, ReplicaLetter, ReplicaRecord
from pilot_protocol.errors import StateError
from pilot_protocol.states import State

PD, OTHER, DU = "pd-aaaaaaaa", "pd-bbbbbbbb", "du-aaaaaaaaaaaa"
ME, YOU = "pds-me", "pds-you"
HARD_PATH = "a b/ünï\n\udcff%*|,"


def store(name: str = PD, **keys: Any) -> PilotDataRecord:
    return PilotDataRecord(name, "pds-aaaaaaaa", {"service_url": f"file:///data/{name}", **keys})


def settled(letter: str, owner: str = ME, name: str = PD, **keys: Any) -> ReplicaRecord:
    return ReplicaRecord(DU, name, letter, owner, **keys)


class CatalogueSuite:
    """The tests."""

    @pytest.fixture
    def catalogue(self) -> Catalogue:
        raise NotImplementedError("give the suite a fixture 'catalogue'")

    @pytest.fixture
    def unit(self, catalogue: Catalogue) -> Callable[[], DataUnitRecord]:
        """A data unit that is asked for at one Pilot-Data; returns what is known of it now."""
        catalogue.add_pilot_data(store())
        catalogue.add_data_unit(DataUnitRecord(DU, {"name": "mine"}))
        catalogue.ask(DU, PD)

        def now() -> DataUnitRecord:
            found = catalogue.data_unit(DU)
            assert found is not None
            return found

        return now

    # --- Pilot-Data -------------------------------------------------------------------------------------------------

    def test_pilot_data_is_kept_as_it_was_described(self, catalogue: Catalogue) -> None:
        assert (catalogue.pilot_data(PD), catalogue.list_pilot_data()) == (None, [])
        catalogue.add_pilot_data(store(size=1.5, userkey="~/.ssh/ü"))
        catalogue.add_pilot_data(store(OTHER))
        catalogue.add_pilot_data(store(OTHER))
        found = catalogue.pilot_data(PD)
        assert found is not None
        assert found.description == {"service_url": f"file:///data/{PD}", "size": 1.5, "userkey": "~/.ssh/ü"}
        assert (found.state, found.service, found.size_bytes, found.used_bytes) == (
            State.Running,
            "pds-aaaaaaaa",
            1_500_000,
            0,
        )
        assert catalogue.list_pilot_data() == [PD, OTHER]

    def test_pilot_data_ends_once(self, catalogue: Catalogue) -> None:
        catalogue.end_pilot_data(PD, State.Canceled)
        catalogue.add_pilot_data(store())
        catalogue.end_pilot_data(PD, State.Failed, "because | of this\nand ü")
        catalogue.end_pilot_data(PD, State.Canceled, "too late")
        catalogue.add_pilot_data(store())
        found = catalogue.pilot_data(PD)
        assert found is not None
        assert (found.state, found.reason) == (State.Failed, "because | of this\nand ü")

    # --- data units and files ---------------------------------------------------------------------------------------

    def test_a_data_unit_is_pending_at_first(self, catalogue: Catalogue) -> None:
        assert (catalogue.data_unit(DU), catalogue.list_data_units()) == (None, [])
        catalogue.add_data_unit(DataUnitRecord(DU, {"name": "ü", "number_of_replicas": 2}))
        catalogue.add_data_unit(DataUnitRecord(DU, {"name": "another"}))
        found = catalogue.data_unit(DU)
        assert found is not None
        assert found.description == {"name": "ü", "number_of_replicas": 2}
        assert (found.state, found.files, found.bytes, found.replicas) == (State.New, 0, 0, {})
        assert catalogue.list_data_units() == [DU]

    def test_a_data_unit_ends_once(self, catalogue: Catalogue, unit: Callable[[], DataUnitRecord]) -> None:
        catalogue.end_data_unit(DU, State.Canceled, "why | not")
        catalogue.end_data_unit(DU, State.Failed, "too late")
        assert (unit().state, unit().reason) == (State.Canceled, "why | not")
        catalogue.end_data_unit("du-none", State.Failed)

    def test_files_come_back_sorted_as_they_were_put(
        self, catalogue: Catalogue, unit: Callable[[], DataUnitRecord]
    ) -> None:
        link = FileRecord("z", 5, link="a")
        file = FileRecord(HARD_PATH, 10, 1_600_000_000_123_456_789, 0o640, "c" * 64, part=3)
        folder = FileRecord("m", is_folder=True)
        catalogue.put_files(DU, iter([link, file, folder]))
        assert catalogue.files(DU) == sorted([link, file, folder])
        assert (unit().files, unit().bytes) == (3, 10)
        catalogue.put_files(DU, [file._replace(size=4)])
        assert (unit().files, unit().bytes) == (3, 4)
        catalogue.remove_files(DU, [HARD_PATH, "no such file"])
        catalogue.remove_files(DU, [])
        assert (catalogue.files(DU), unit().bytes) == ([folder, link], 0)

    def test_many_files(self, catalogue: Catalogue, unit: Callable[[], DataUnitRecord]) -> None:
        files = [FileRecord(f"folder/{number:05}", number) for number in range(3000)]
        catalogue.put_files(DU, files)
        assert catalogue.files(DU) == files
        catalogue.remove_files(DU, [file.path for file in files[1:]])
        assert (catalogue.files(DU), unit().bytes) == (files[:1], 0)

    def test_what_there_is_not(self, catalogue: Catalogue) -> None:
        with pytest.raises(StateError, match="no data unit du-none"):
            catalogue.files("du-none")
        with pytest.raises(StateError, match="no data unit du-none"):
            catalogue.put_files("du-none", [FileRecord("a")])
        with pytest.raises(StateError, match="no data unit du-none"):
            catalogue.ask("du-none", PD)
        catalogue.forget("du-none", PD)
        assert catalogue.renew("du-none", PD, ME, 1) is False
        assert catalogue.settle(ReplicaRecord("du-none", PD, ReplicaLetter.DONE, ME)) is False

    # --- leases -----------------------------------------------------------------------------------------------------

    def test_a_replica_has_one_writer(self, catalogue: Catalogue, unit: Callable[[], DataUnitRecord]) -> None:
        assert catalogue.claim(DU, PD, ME, 10) == Claim(granted=True)
        assert catalogue.claim(DU, PD, ME, 10) == Claim(granted=True)  # said twice
        assert catalogue.claim(DU, PD, YOU, 10) == Claim(granted=False, holder=ME)
        assert catalogue.renew(DU, PD, YOU, 5) is False
        assert catalogue.settle(settled(ReplicaLetter.DONE, YOU)) is False
        assert catalogue.renew(DU, PD, ME, 5) is True
        assert unit().replicas[PD] == settled(ReplicaLetter.RUNNING, bytes=5)
        assert catalogue.settle(settled(ReplicaLetter.DONE, bytes=10)) is True
        assert unit().replicas[PD] == settled(ReplicaLetter.DONE, "", bytes=10)
        assert catalogue.claim(DU, PD, YOU, 10) == Claim(granted=False)
        assert catalogue.renew(DU, PD, ME, 10) is False
        assert catalogue.settle(settled(ReplicaLetter.FAILED)) is False
        assert unit().state is State.Running

    def test_of_many_that_claim_at_once_one_is_granted(
        self, catalogue: Catalogue, unit: Callable[[], DataUnitRecord]
    ) -> None:
        gate = threading.Barrier(8)

        def claim(number: int) -> bool:
            gate.wait(30)
            return catalogue.claim(DU, PD, f"pds-{number}", 1).granted

        with ThreadPoolExecutor(8) as pool:
            assert sorted(pool.map(claim, range(8))) == [False] * 7 + [True]

    @pytest.mark.parametrize("letter", [ReplicaLetter.FAILED, ReplicaLetter.CANCELED])
    def test_what_has_failed_is_claimed_when_it_is_asked_for_again(
        self, catalogue: Catalogue, unit: Callable[[], DataUnitRecord], letter: str
    ) -> None:
        catalogue.add_pilot_data(store(OTHER))
        catalogue.ask(DU, OTHER)
        catalogue.claim(DU, PD, ME, 10)
        assert catalogue.settle(settled(letter, reason="it | was\nü")) is True
        assert unit().replicas[PD].reason == "it | was\nü"
        with pytest.raises(StateError, match=f"nobody asks for data unit {DU} at {PD}"):
            catalogue.claim(DU, PD, ME, 10)
        catalogue.ask(DU, PD)
        assert unit().replicas[PD] == ReplicaRecord(DU, PD)
        assert catalogue.claim(DU, PD, YOU, 10).granted

    def test_asking_twice_changes_nothing(
        self, catalogue: Catalogue, unit: Callable[[], DataUnitRecord]
    ) -> None:
        catalogue.ask(DU, PD)
        catalogue.claim(DU, PD, ME, 10)
        catalogue.ask(DU, PD)
        assert unit().replicas[PD].owner == ME

    def test_nothing_is_claimed_where_all_has_ended(
        self, catalogue: Catalogue, unit: Callable[[], DataUnitRecord]
    ) -> None:
        with pytest.raises(StateError, match=f"nobody asks|Pilot-Data {OTHER} has ended"):
            catalogue.claim(DU, OTHER, ME, 1)
        catalogue.claim(DU, PD, ME, 1)
        catalogue.end_data_unit(DU, State.Canceled)
        assert catalogue.renew(DU, PD, ME, 1) is False
        with pytest.raises(StateError, match=f"data unit {DU} has ended"):
            catalogue.claim(DU, PD, ME, 1)
        assert (
            catalogue.settle(settled(ReplicaLetter.CANCELED)) is True
        )  # who moved files gives the lease back
        assert unit().state is State.Canceled
        catalogue.end_pilot_data(PD, State.Canceled)
        with pytest.raises(StateError, match=f"Pilot-Data {PD} has ended"):
            catalogue.claim(DU, PD, ME, 1)

    def test_a_whole_replica_gets_further_files_from_one(
        self, catalogue: Catalogue, unit: Callable[[], DataUnitRecord]
    ) -> None:
        assert catalogue.claim(DU, PD, ME, 10, adds=True) == Claim(granted=False), "it is not whole yet"
        catalogue.claim(DU, PD, ME, 10)
        assert catalogue.claim(DU, PD, YOU, 10, adds=True) == Claim(granted=False, holder=ME)
        catalogue.settle(settled(ReplicaLetter.DONE, bytes=10))
        assert catalogue.asked() == []
        assert catalogue.claim(DU, PD, ME, 30, adds=True) == Claim(granted=True)
        assert catalogue.claim(DU, PD, ME, 30, adds=True) == Claim(granted=True)  # said twice
        assert catalogue.claim(DU, PD, YOU, 30, adds=True) == Claim(granted=False, holder=ME)
        assert catalogue.claim(DU, PD, YOU, 30) == Claim(granted=False, holder=ME)
        assert (unit().state, catalogue.asked()) == (State.Pending, [(DU, PD)])

    def test_what_somebody_is_to_make_is_asked_for(
        self, catalogue: Catalogue, unit: Callable[[], DataUnitRecord]
    ) -> None:
        catalogue.add_pilot_data(store(OTHER))
        catalogue.ask(DU, OTHER)
        assert sorted(catalogue.asked()) == [(DU, PD), (DU, OTHER)]
        catalogue.claim(DU, PD, ME, 10)
        assert sorted(catalogue.asked()) == [(DU, PD), (DU, OTHER)], "who makes it may die"
        catalogue.settle(settled(ReplicaLetter.DONE))
        assert catalogue.asked() == [(DU, OTHER)]
        catalogue.claim(DU, OTHER, ME, 10)
        assert catalogue.settle(settled(ReplicaLetter.PENDING, name=OTHER, reason="handed back"))
        assert catalogue.asked() == [(DU, OTHER)]
        assert unit().replicas[OTHER] == ReplicaRecord(DU, OTHER, reason="handed back")
        assert catalogue.claim(DU, OTHER, YOU, 10).granted
        catalogue.forget(DU, OTHER)
        assert catalogue.asked() == []

    # --- what replicas make of a data unit --------------------------------------------------------------------------

    @pytest.mark.parametrize(
        ("wanted", "letters", "state"),
        [
            (1, "D", State.Running),
            (1, "F", State.Failed),
            (1, "C", State.Canceled),
            (2, "DD", State.Running),
            (2, "DF", State.Failed),
            (2, "DC", State.Running),
            (2, "CF", State.Failed),
            (2, "CC", State.Canceled),
            (1, "DF", State.Running),
            (2, "DP", State.Pending),
            (1, "DR", State.Running),
            (1, "PD", State.Running),
            (1, "FP", State.Pending),
        ],
    )
    def test_the_state_follows_from_the_replicas(
        self, catalogue: Catalogue, wanted: int, letters: str, state: State
    ) -> None:
        catalogue.add_data_unit(DataUnitRecord(DU, {"number_of_replicas": wanted}))
        names = [PD, OTHER][: len(letters)]
        for name in names:
            catalogue.add_pilot_data(store(name))
            catalogue.ask(DU, name)
        for name, letter in zip(names, letters, strict=True):
            if letter == "P":
                continue
            catalogue.claim(DU, name, ME, 1)
            if letter != "R":
                catalogue.settle(settled(letter, name=name, reason="" if letter == "D" else f"{letter}!"))
        found = catalogue.data_unit(DU)
        assert found is not None
        assert found.state is state
        assert bool(found.reason) == (state in {State.Failed, State.Canceled})

    def test_a_data_unit_without_replicas_stays_as_it_is(
        self, catalogue: Catalogue, unit: Callable[[], DataUnitRecord]
    ) -> None:
        catalogue.claim(DU, PD, ME, 1)
        catalogue.settle(settled(ReplicaLetter.DONE))
        catalogue.forget(DU, PD)
        catalogue.forget(DU, PD)
        assert (unit().state, unit().replicas) == (State.Running, {})

    # --- room -------------------------------------------------------------------------------------------------------

    @pytest.fixture
    def used(self, catalogue: Catalogue) -> Callable[[], int]:
        """A Pilot-Data of 1000 bytes; returns how many are used."""
        catalogue.add_pilot_data(store(OTHER, size=0.001))

        def now() -> int:
            found = catalogue.pilot_data(OTHER)
            assert found is not None
            return found.used_bytes

        return now

    def test_room_is_taken_when_it_is_claimed_and_given_back(
        self, catalogue: Catalogue, unit: Callable[[], DataUnitRecord], used: Callable[[], int]
    ) -> None:
        catalogue.ask(DU, OTHER)
        assert used() == 0
        catalogue.claim(DU, OTHER, ME, 600)
        catalogue.claim(DU, OTHER, ME, 600)
        assert used() == 600
        catalogue.settle(settled(ReplicaLetter.FAILED, name=OTHER, reason="no"))
        assert used() == 0
        catalogue.ask(DU, OTHER)
        catalogue.claim(DU, OTHER, ME, 700)
        catalogue.settle(settled(ReplicaLetter.DONE, name=OTHER, bytes=700))
        assert used() == 700
        catalogue.forget(DU, OTHER)
        assert used() == 0

    def test_what_has_no_room_fails(
        self, catalogue: Catalogue, unit: Callable[[], DataUnitRecord], used: Callable[[], int]
    ) -> None:
        catalogue.add_data_unit(DataUnitRecord("du-other", {}))
        catalogue.ask("du-other", OTHER)
        catalogue.claim("du-other", OTHER, YOU, 600)
        catalogue.ask(DU, OTHER)
        with pytest.raises(NoSpaceError, match=f"{DU} has 401 bytes; of the 1000 bytes .* 600 are used"):
            catalogue.claim(DU, OTHER, ME, 401)
        assert unit().replicas[OTHER].letter == ReplicaLetter.FAILED
        assert "has 401 bytes" in unit().replicas[OTHER].reason
        assert used() == 600
        catalogue.ask(DU, OTHER)
        assert catalogue.claim(DU, OTHER, ME, 400).granted
        assert used() == 1000

    def test_a_whole_replica_that_has_no_room_for_further_files_stays_whole(
        self, catalogue: Catalogue, unit: Callable[[], DataUnitRecord], used: Callable[[], int]
    ) -> None:
        catalogue.ask(DU, OTHER)
        catalogue.claim(DU, OTHER, ME, 600)
        catalogue.settle(settled(ReplicaLetter.DONE, name=OTHER, bytes=600))
        with pytest.raises(NoSpaceError):
            catalogue.claim(DU, OTHER, ME, 1001, adds=True)
        assert (unit().replicas[OTHER].letter, used()) == (ReplicaLetter.DONE, 600)
        catalogue.claim(DU, OTHER, ME, 1000, adds=True)
        with pytest.raises(NoSpaceError):
            catalogue.claim(DU, OTHER, ME, 1001, adds=True)
        assert (unit().replicas[OTHER].letter, used()) == (ReplicaLetter.DONE, 1000)

    def test_a_replica_that_has_no_room_for_what_it_lacks_fails(
        self, catalogue: Catalogue, unit: Callable[[], DataUnitRecord], used: Callable[[], int]
    ) -> None:
        catalogue.ask(DU, OTHER)
        catalogue.claim(DU, OTHER, ME, 600)
        catalogue.settle(settled(ReplicaLetter.DONE, name=OTHER, bytes=600))
        catalogue.ask(DU, OTHER)
        assert used() == 600
        with pytest.raises(NoSpaceError):
            catalogue.claim(DU, OTHER, ME, 1001)
        replica = unit().replicas[OTHER]
        assert (replica.letter, replica.owner, used()) == (ReplicaLetter.RUNNING, ME, 600)
        assert catalogue.settle(settled(ReplicaLetter.FAILED, name=OTHER, reason="no"))
        assert (unit().replicas[OTHER].letter, used()) == (ReplicaLetter.FAILED, 0)

    def test_room_of_removed_files_is_given_back(
        self, catalogue: Catalogue, unit: Callable[[], DataUnitRecord], used: Callable[[], int]
    ) -> None:
        catalogue.put_files(DU, [FileRecord("a", 300), FileRecord("b", 400), FileRecord("c", link="a")])
        catalogue.ask(DU, OTHER)
        catalogue.claim(DU, OTHER, ME, 700)
        catalogue.settle(settled(ReplicaLetter.DONE, name=OTHER, bytes=700))
        catalogue.remove_files(DU, ["a", "a", "c"])
        assert used() == 400

    # --- waiting ----------------------------------------------------------------------------------------------------

    def test_who_waits_is_woken_by_each_change(
        self, catalogue: Catalogue, unit: Callable[[], DataUnitRecord]
    ) -> None:
        def seen(holds: Callable[[], bool], change: Callable[[], object]) -> None:
            asked = threading.Event()

            def look() -> bool:
                asked.set()
                return holds()

            with ThreadPoolExecutor(1) as pool:
                waiting = pool.submit(catalogue.wait_for, look, 30)
                assert asked.wait(30)
                change()
                assert waiting.result() is True

        seen(lambda: unit().replicas[PD].owner == ME, lambda: catalogue.claim(DU, PD, ME, 1))
        seen(lambda: unit().replicas[PD].bytes == 7, lambda: catalogue.renew(DU, PD, ME, 7))
        seen(lambda: unit().state is State.Running, lambda: catalogue.settle(settled(ReplicaLetter.DONE)))
        seen(lambda: not unit().replicas, lambda: catalogue.forget(DU, PD))
        seen(lambda: unit().state is State.Failed, lambda: catalogue.end_data_unit(DU, State.Failed))
        seen(lambda: self.state_of(catalogue) is State.Done, lambda: catalogue.end_pilot_data(PD, State.Done))

    def test_waiting_ends_in_time(self, catalogue: Catalogue) -> None:
        assert catalogue.wait_for(lambda: False, 0) is False
        assert catalogue.wait_for(lambda: False, 0.01) is False
        assert catalogue.wait_for(lambda: True, 0) is True
        assert catalogue.wait_for(lambda: True, None) is True

    def test_what_goes_wrong_while_waiting_is_raised(self, catalogue: Catalogue) -> None:
        def holds() -> bool:
            raise StateError("no")

        with pytest.raises(StateError, match="no"):
            catalogue.wait_for(holds, 5)

    @staticmethod
    def state_of(catalogue: Catalogue) -> State:
        found = catalogue.pilot_data(PD)
        assert found is not None
        return found.state
