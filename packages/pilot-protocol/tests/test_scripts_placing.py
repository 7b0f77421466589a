"""Where units with inputs go on a server: sites come and go, copies are made or fail."""

from __future__ import annotations

import pytest

from pilot_protocol import data_ops, pilot_ops
from pilot_protocol.placements import Placement, PlacementKind
from scripted_inputs import HERE, STORES, THERE, ScriptedInputs, X, Y
from scripted_session import OWNER, SERVICE, ScriptedPilot, ScriptedSession, queue, unit_id

HERE_SITE, THERE_SITE = ",here", ",there"
ALL = 6000
"""More than one script follows up."""


@pytest.fixture
def data(session: ScriptedSession) -> ScriptedInputs:
    """A session with two places for data."""
    inputs = ScriptedInputs(session)
    inputs.store(HERE, "here")
    inputs.store(THERE, "there")
    return inputs


def test_a_unit_goes_to_its_data(data: ScriptedInputs) -> None:
    here, there = data.session.pilot(label=HERE_SITE), data.session.pilot("p-bbbbbbbb", label=THERE_SITE)
    data.have(X, HERE)
    data.have(Y, THERE)
    data.submit(0, reads=[X])
    data.submit(1, reads=[Y])
    assert data.kinds(0, 1) == [("there", HERE_SITE), ("there", THERE_SITE)]
    assert data.session.record(0).queue == queue(label="here")
    assert (there.claim(2), here.claim(2)) == ([1], [0])


def test_a_unit_waits_for_a_copy(data: ScriptedInputs) -> None:
    pilot = data.session.pilot(label=THERE_SITE)
    data.have(X, HERE, size=10**8)
    data.submit(0, 1, reads=[X])
    copies, costs = ((X, THERE),), {THERE_SITE: 1.0}
    assert data.placement(0) == Placement(PlacementKind.COPY, THERE_SITE, 10**8, copies, costs)
    assert data.placement(1) == Placement(PlacementKind.COPY, THERE_SITE, 0, copies, {THERE_SITE: 0.0})
    assert (data.session.letters(0, 1), data.waits(0, 1), data.asked()) == ("WW", [1, 1], [(X, THERE)])
    data.copy(X, THERE)
    assert data.placement(0) == Placement(PlacementKind.COPIED, THERE_SITE, 10**8, copies, costs)
    assert pilot.claim(2) == [0, 1]


def test_a_copy_that_fails_goes_elsewhere_then_nowhere(data: ScriptedInputs) -> None:
    data.store("pd-zzzzzzzz", "there", limit=10**6)
    pilot = data.session.pilot(label=THERE_SITE)
    data.have(X, HERE)
    data.submit(0, reads=[X])
    data.copy(X, THERE, "F")
    assert data.asked() == [(X, "pd-zzzzzzzz")]
    assert data.kinds(0) == [("copy", THERE_SITE)]
    data.copy(X, "pd-zzzzzzzz", "C")
    assert (data.asked(), data.kinds(0)) == ([], [("straight", THERE_SITE)])
    assert pilot.claim(1) == [0]


@pytest.mark.parametrize("what", ["full", "place", "forgotten", "data unit"])
def test_a_copy_that_nobody_will_make_is_not_waited_for(data: ScriptedInputs, what: str) -> None:
    data.session.pilot(label=THERE_SITE)
    data.have(X, HERE)
    data.submit(0, reads=[X], run_after_failure=True)
    if what == "full":
        assert data.claim(X, THERE, limit=1).verdict == "full"
    elif what == "place":
        data.end_store(THERE)
    elif what == "data unit":
        data.end(X)
    else:
        data.run(data_ops.forget_replica(data.keys, X, THERE))
    kind = "copy" if what == "forgotten" else "straight"
    assert data.kinds(0) == [(kind, THERE_SITE)]
    # Whoever serves finds out that its place has ended, and withdraws it.
    assert data.asked() == ([(X, THERE)] if what in {"forgotten", "place"} else [])


def test_data_that_gets_more_while_it_is_copied(data: ScriptedInputs) -> None:
    here, _ = data.session.pilot(label=HERE_SITE), data.session.pilot("p-bbbbbbbb", label=THERE_SITE)
    data.have(X, HERE)
    data.submit(0, reads=[X], into=queue(label="there"))
    assert data.kinds(0) == [("copy", THERE_SITE)]
    data.submit(1, adds=[X], into=queue(label="here"))
    assert data.asked() == []
    data.claim(X, THERE)
    data.settle(X, THERE, "D")
    assert (data.session.letters(0), data.waits(0), data.placement(0)) == ("W", [1], None)
    assert here.claim(1) == [1]
    data.fill(here, 1, X, HERE)
    assert data.asked() == [(X, THERE)]
    assert data.kinds(0) == [("copy", THERE_SITE)]
    data.copy(X, THERE)
    assert data.kinds(0) == [("copied", THERE_SITE)]


def test_a_place_that_ends_while_data_gets_more(data: ScriptedInputs) -> None:
    here, _ = data.session.pilot(label=HERE_SITE), data.session.pilot("p-bbbbbbbb", label=THERE_SITE)
    data.have(X, HERE)
    data.submit(0, reads=[X], into=queue(label="there"))
    data.submit(1, adds=[X], into=queue(label="here"))
    assert (data.session.letters(0), data.waits(0), data.placement(0)) == ("W", [1], None)
    data.end_store(THERE)
    assert here.claim(1) == [1]
    data.fill(here, 1, X, HERE)
    assert (data.session.letters(0), data.kinds(0)) == ("N", [("straight", THERE_SITE)])


def test_who_waits_for_a_copy_counts_as_work_of_its_site(data: ScriptedInputs) -> None:
    for name, label in (("p-aaaaaaaa", HERE_SITE), ("p-bbbbbbbb", THERE_SITE)):
        data.session.pilot(name, label=label, free_cores=0)
    data.store("pd-far", "far")
    data.have(X, "pd-far")
    data.submit(*range(6), reads=[X])
    sites = data.kinds(*range(6))
    assert sites == [("copy", HERE_SITE), ("copy", THERE_SITE)] * 3


def test_canceled_units_wait_for_no_copy(data: ScriptedInputs) -> None:
    data.session.pilot(label=THERE_SITE)
    data.have(X, HERE)
    data.submit(0, 1, reads=[X], into=queue(2))
    copying = data.keys.named("copying")
    assert data.session.client.hgetall(copying) == {f"{OWNER}/{THERE_SITE}".encode(): b"4"}
    assert data.session.cancel(0) == "1"
    assert data.session.client.hgetall(copying) == {f"{OWNER}/{THERE_SITE}".encode(): b"2"}
    data.copy(X, THERE)
    assert (data.session.letters(0, 1), data.session.client.hgetall(copying)) == ("CN", {})


def test_a_lost_pilots_units_are_placed_anew(data: ScriptedInputs) -> None:
    lost, other = data.session.pilot(label=HERE_SITE), data.session.pilot("p-bbbbbbbb", label=THERE_SITE)
    data.have(X, HERE)
    data.submit(0, 1, reads=[X])
    assert lost.claim(2) == [0, 1]
    lost.report((0, 1, "R"))
    data.session.pass_lease(lost)
    data.session.sweep()
    assert (data.session.letters(0, 1), data.kinds(0, 1)) == ("WW", [("copy", THERE_SITE)] * 2)
    assert [event.units for event in data.session.events() if event.units] == [
        {"R": [unit_id(0)]},
        {"N": [unit_id(0)]},
    ]
    data.copy(X, THERE)
    assert other.claim(2) == [0, 1]


def test_who_waits_for_a_copy_where_no_pilot_is_left_goes_elsewhere(data: ScriptedInputs) -> None:
    last, other = data.session.pilot(label=THERE_SITE), data.session.pilot("p-bbbbbbbb", label=HERE_SITE)
    for name in (X, Y):
        data.have(name, HERE)
    data.submit(0, reads=[X, Y], into=queue(label="there"))
    assert (data.session.letters(0), data.waits(0), data.kinds(0)) == ("W", [2], [("copy", THERE_SITE)])
    last.end("Failed")
    assert (data.session.letters(0), data.kinds(0)) == ("N", [("there", HERE_SITE)])
    assert data.session.client.hgetall(data.keys.named("copying")) == {}
    assert other.claim(1) == [0]


def test_who_waits_for_a_copy_waits_on_while_a_pilot_is_left(data: ScriptedInputs) -> None:
    first, _ = data.session.pilot(label=THERE_SITE), data.session.pilot("p-bbbbbbbb", label=THERE_SITE)
    data.have(X, HERE)
    data.submit(0, reads=[X])
    first.end("Failed")
    assert (data.session.letters(0), data.waits(0), data.kinds(0)) == ("W", [1], [("copy", THERE_SITE)])


def test_what_is_queued_where_no_pilot_is_left_is_placed_anew(data: ScriptedInputs) -> None:
    last, other = data.session.pilot(label=HERE_SITE), data.session.pilot("p-bbbbbbbb", label=THERE_SITE)
    data.have(X, HERE)
    data.submit(0, 2, reads=[X])
    data.submit(1, 3, into=queue(label="here"))
    data.session.cancel(3)
    assert data.session.letters(0, 1, 2, 3) == "NNNC"
    last.end("Failed")
    assert (data.session.letters(0, 1, 2), data.kinds(0, 2)) == ("WNW", [("copy", THERE_SITE)] * 2)
    assert other.claim(3) == [1]
    data.copy(X, THERE)
    assert other.claim(3) == [0, 2]


def test_what_is_queued_stays_while_a_pilot_that_is_large_enough_is_left(data: ScriptedInputs) -> None:
    for name, cores in (("p-aaaaaaaa", 4), ("p-bbbbbbbb", 4), ("p-cccccccc", 2)):
        data.session.pilot(name, cores=cores, label=HERE_SITE)
    data.session.pilot("p-dddddddd", cores=4, label=THERE_SITE)
    data.have(X, HERE)
    data.submit(0, reads=[X], into=queue(4))
    for name, kind in (("p-aaaaaaaa", ("there", HERE_SITE)), ("p-bbbbbbbb", ("copy", THERE_SITE))):
        how = pilot_ops.PilotEnd("Failed", "asked")
        assert data.run(pilot_ops.end(data.keys, name, "", how)) == 1
        assert data.kinds(0) == [kind]


def test_pilots_of_a_site_that_are_lost_together(data: ScriptedInputs) -> None:
    lost = [data.session.pilot(name, label=HERE_SITE) for name in ("p-aaaaaaaa", "p-bbbbbbbb")]
    data.session.pilot("p-cccccccc", label=THERE_SITE)
    data.have(X, HERE)
    data.submit(0, reads=[X])
    for pilot in lost:
        data.session.pass_lease(pilot)
    data.session.sweep()
    assert data.kinds(0) == [("copy", THERE_SITE)]


def test_the_last_pilot_goes_and_another_comes(data: ScriptedInputs) -> None:
    lost = data.session.pilot(label=HERE_SITE)
    data.have(X, HERE)
    data.submit(0, reads=[X])
    lost.claim(1)
    lost.end("Failed")
    assert (data.session.letters(0), data.kinds(0)) == ("W", [("nowhere", "")])
    assert data.session.pilot("p-bbbbbbbb", label=HERE_SITE).claim(1) == [0]


def test_units_wait_for_a_pilot_that_is_large_enough(data: ScriptedInputs) -> None:
    data.have(X, HERE)
    data.submit(0, 1, reads=[X], into=queue(4))
    data.session.cancel(1)
    data.session.pilot(cores=2, label=HERE_SITE)
    assert (data.session.letters(0, 1), data.kinds(0)) == ("WC", [("nowhere", "")])
    assert data.session.pilot("p-bbbbbbbb", cores=4, label=HERE_SITE).claim(1, cores=4) == [0]


def test_a_service_that_is_attached_brings_its_pilots(data: ScriptedInputs) -> None:
    data.have(X, HERE)
    data.submit(0, reads=[X])
    pilot = data.session.pilot(label=HERE_SITE, service="pcs-others")
    assert data.session.letters(0) == "W"
    data.run(pilot_ops.attach(data.keys, "pcs-others", OWNER))
    assert pilot.claim(1) == [0]


def test_only_attached_services_get_copies(data: ScriptedInputs) -> None:
    data.session.pilot(label=THERE_SITE)
    data.have(X, HERE)
    data.run(pilot_ops.attach(data.keys, STORES, OWNER, attached=False))
    data.submit(0, reads=[X])
    assert (data.kinds(0), data.asked()) == ([("straight", THERE_SITE)], [])


def test_a_unit_for_one_pilot_goes_there_once_it_runs(data: ScriptedInputs) -> None:
    data.have(X, HERE)
    pilot = "p-bbbbbbbb"
    data.session.pilot(label=HERE_SITE)
    data.run(pilot_ops.create_pilot(data.keys, pilot, SERVICE, b"description"))
    data.submit(0, reads=[X], into=queue(owner=pilot))
    assert data.kinds(0) == [("nowhere", "")]
    started = data.session.pilot(pilot, label=THERE_SITE)
    assert data.kinds(0) == [("straight", THERE_SITE)]
    assert started.claim(1) == [0]


def test_a_unit_for_one_pilot_ends_with_it(data: ScriptedInputs) -> None:
    data.have(X, HERE)
    data.run(pilot_ops.create_pilot(data.keys, "p-bbbbbbbb", SERVICE, b"description"))
    data.submit(0, reads=[X], into=queue(owner="p-bbbbbbbb"))
    how = pilot_ops.PilotEnd("Canceled", "asked")
    assert data.run(pilot_ops.end(data.keys, "p-bbbbbbbb", "", how)) == 1
    assert (data.session.letters(0), data.session.reason(0)) == ("C", "canceled")


def test_units_for_one_pilot_that_wait_for_copies_end_with_it(data: ScriptedInputs) -> None:
    pilot = data.session.pilot("p-bbbbbbbb", label=THERE_SITE)
    for name in (X, Y):
        data.have(name, HERE)
        data.ask(name, THERE)
    into = queue(owner=pilot.name)
    data.submit(0, reads=[X], into=into)
    data.submit(1, 2, reads=[Y], into=into)
    assert data.kinds(0, 1, 2) == [("copy", THERE_SITE)] * 3
    pilot.end("Canceled")
    copying = data.session.client.hgetall(data.keys.named("copying"))
    assert (data.session.letters(0, 1, 2), copying) == ("CCC", {})


def test_a_service_that_is_detached_takes_its_sites_along(data: ScriptedInputs) -> None:
    data.session.pilot(label=HERE_SITE, service="pcs-others")
    other = data.session.pilot("p-bbbbbbbb", label=THERE_SITE)
    data.run(pilot_ops.attach(data.keys, "pcs-others", OWNER))
    data.have(X, HERE)
    data.submit(0, reads=[X])
    assert data.kinds(0) == [("there", HERE_SITE)]
    data.run(pilot_ops.attach(data.keys, "pcs-others", OWNER, attached=False))
    assert data.kinds(0) == [("copy", THERE_SITE)]
    data.copy(X, THERE)
    assert other.claim(1) == [0]


def test_a_unit_with_two_entries_in_a_queue_is_placed_anew_once(data: ScriptedInputs) -> None:
    last = data.session.pilot(label=HERE_SITE)
    data.session.pilot("p-bbbbbbbb", label=THERE_SITE)
    data.have(X, HERE)
    data.submit(0, reads=[X])
    name = data.keys.named(f"queue:{queue(label='here')}")
    data.session.client.lpush(name, f"0:{unit_id(0)}")  # as after a claim that a server has forgotten
    last.end("Failed")
    copying = data.session.client.hgetall(data.keys.named("copying"))
    assert (data.waits(0), copying) == ([1], {f"{OWNER}/{THERE_SITE}".encode(): b"1"})


def test_a_pilot_that_has_claimed_is_less_free(data: ScriptedInputs) -> None:
    pilots = [
        data.session.pilot(name, cores=8, label=label, free_cores=8)
        for name, label in (("p-aaaaaaaa", HERE_SITE), ("p-bbbbbbbb", THERE_SITE))
    ]
    data.store("pd-far", "far")
    data.have(X, "pd-far")
    for store in (HERE, THERE):
        data.end_store(store)
    data.submit(*range(8), reads=[X])
    assert {site for _, site in data.kinds(*range(8))} == {HERE_SITE}
    assert len(pilots[0].claim(8)) == 8
    data.submit(8, reads=[X])
    assert data.kinds(8) == [("straight", THERE_SITE)]


@pytest.mark.parametrize("label", ["", ",", "no comma", "a/b,c", "a b,c", "a|b,c", ",,"])
def test_a_label_that_cannot_be_read_is_none(data: ScriptedInputs, label: str) -> None:
    pilot = data.session.pilot(label=label, unit_s="nan", free_cores="many")
    data.store("pd-near")
    data.have(X, "pd-near")
    data.submit(0, reads=[X])
    assert data.kinds(0) == [("there", ",")]
    assert pilot.claim(1) == [0]


def submit_many(data: ScriptedInputs) -> None:
    """Submit more units that read X than one script follows up."""
    for first in range(0, ALL, 500):
        data.submit(*range(first, first + 500), reads=[X])


def follow_up(data: ScriptedInputs) -> int:
    """Go on with what scripts have left; returns how often that was necessary."""
    for number in range(10):
        if not data.session.client.exists(data.keys.named("releases")):
            return number
        assert data.session.events()[-1].has_more
        data.session.sweep()
    raise AssertionError("there is always something left")


def states(data: ScriptedInputs) -> dict[bytes, int]:
    """Return how many units are in each state."""
    counts = data.session.client.hgetall(data.keys.named("counts"))
    return {field[-1:]: int(number) for field, number in counts.items() if int(number)}


def test_many_readers_are_released_bit_by_bit(data: ScriptedInputs) -> None:
    data.session.pilot(label=THERE_SITE)
    data.have(X)
    submit_many(data)
    assert states(data) == {b"W": ALL}
    data.ask(X, HERE)
    data.copy(X, HERE)
    assert follow_up(data) > 0
    assert data.asked() == [(X, THERE)]
    data.copy(X, THERE)
    assert follow_up(data) > 0
    assert states(data) == {b"N": ALL}


def test_many_units_that_wait_for_a_pilot_are_placed_bit_by_bit(data: ScriptedInputs) -> None:
    data.have(X, HERE)
    submit_many(data)
    pilot = ScriptedPilot(data.session, "p-aaaaaaaa", 1, {"label": HERE_SITE})
    pilot.register()
    assert follow_up(data) > 0
    assert states(data) == {b"N": ALL}


def test_many_units_are_placed_anew_bit_by_bit_when_a_site_ends(data: ScriptedInputs) -> None:
    last = data.session.pilot(label=HERE_SITE)
    data.have(X, HERE)
    submit_many(data)
    data.submit(ALL, ALL + 1, into=queue(label="here"))
    assert states(data) == {b"N": ALL + 2}
    ScriptedPilot(data.session, "p-bbbbbbbb", 1, {"label": THERE_SITE}).register()
    last.end("Failed")
    assert follow_up(data) > 0
    assert states(data) == {b"N": 2, b"W": ALL}
    assert data.session.client.llen(data.keys.named(f"queue:{queue(label='here')}")) == 2


def test_the_same_cancels_many_readers_bit_by_bit(data: ScriptedInputs) -> None:
    data.have(X)
    submit_many(data)
    data.end(X)
    assert follow_up(data) > 0
    assert states(data) == {b"C": ALL}
