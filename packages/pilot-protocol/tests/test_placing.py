"""Where units with inputs go, as a function of what is known: the Lua code, run by a real server."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilot_protocol.placements import Placement, PlacementKind, read_placement
from pilot_protocol.scripts import prelude
from scripted_session import ServerLink

CHOOSE = """
local asked = cjson.decode(ARGV[2])
for _, p in ipairs(asked.pilots) do p.gpus, p.memory = 0, math.huge end
local q = asked.queue
q.gpus, q.memory = 0, 0
for _, store in ipairs(asked.stores) do
  if store.room < 0 then store.room = math.huge end
end
local found = sites_among(asked.pilots, q)
if #found == 0 then return 'nowhere||0||' end
for _, site in ipairs(found) do
  site.stores, site.waiting = {}, asked.waiting[site.label] or 0
  for _, store in ipairs(asked.stores) do
    if is_close(store, site) then table.insert(site.stores, store) end
  end
end
return placement_after(nil, choose_site(found, asked.inputs, q.cores))
"""
"""Asks as the scripts do, with everything that they read given."""

GB = 10**9
MOVED_PER_S = 1e8
UNLIMITED = -1


@dataclass(frozen=True)
class Case:
    """What is known."""

    pilots: Sequence[Mapping[str, Any]]
    stores: Sequence[Mapping[str, Any]]
    inputs: Sequence[Mapping[str, Any]]
    queue: Mapping[str, Any]
    waiting: Mapping[str, int]


Choose = Callable[[Case], Placement]


@pytest.fixture
def choose(link: ServerLink) -> Choose:
    """Asks the server where a unit goes."""

    def run(case: Case) -> Placement:
        text = json.dumps(vars(case))
        return read_placement(link.client.eval(prelude() + CHOOSE, 1, "placing:", link.boot, text))

    return run


def pilot(machine: str = "", *, cores: int = 4, free: int = 4, unit_s: float = 10) -> dict[str, Any]:
    """Return a pilot."""
    where = {"datacenter": "d", "machine": machine}
    return {**where, "cores": cores, "node_cores": cores, "free": free, "unit_s": unit_s}


def store(name: str, machine: str = "", *, room: int = UNLIMITED, is_attached: bool = True) -> dict[str, Any]:
    """Return a Pilot-Data."""
    return {"name": name, "datacenter": "d", "machine": machine, "room": room, "is_attached": is_attached}


def reads(name: str, size: int = GB, **letters: str) -> dict[str, Any]:
    """Return an input and the letters of its replicas."""
    return {"name": name, "bytes": size, "is_over": False, "letters": letters}


def case(*pilots: Any, stores: Sequence[Any] = (), inputs: Sequence[Any] = (), **known: Any) -> Case:
    """Return what is known of a unit with one core, or as many as are given."""
    cores = known.pop("cores", 1)
    queue = {"cores": cores, "block": cores, "datacenter": "", "machine": known.pop("wish", "")}
    return Case(pilots, stores, inputs, queue, known.pop("waiting", {}))


TWO_PLACES = (store("a", "one"), store("b", "two"))


def test_a_unit_goes_where_its_data_is(choose: Choose) -> None:
    found = choose(case(pilot("one"), pilot("two"), stores=TWO_PLACES, inputs=[reads("x", b="D")]))
    assert found == Placement("there", "d,two", 0, (), {"d,two": 0.0, "d,one": 10.0})


def test_what_is_cheaper_to_bring_is_brought(choose: Choose) -> None:
    inputs = [reads("x", 5 * GB, a="D"), reads("y", GB, b="D"), reads("z", 2 * GB)]
    found = choose(case(pilot("one"), pilot("two"), stores=TWO_PLACES, inputs=inputs))
    assert found == Placement(
        "copy", "d,one", 3 * GB, (("y", "a"), ("z", "a")), {"d,one": 30.0, "d,two": 70.0}
    )


def test_a_long_queue_costs_more_than_a_copy(choose: Choose) -> None:
    busy, idle = pilot("one", free=0, unit_s=60), pilot("two", free=0, unit_s=60)
    asked = case(busy, idle, stores=TWO_PLACES, inputs=[reads("x", a="D")])
    assert choose(asked).costs == {"d,one": 15.0, "d,two": 25.0}
    assert choose(replace(asked, waiting={"d,one": 1, "d,two": 1})).site == "d,one"
    found = choose(replace(asked, waiting={"d,one": 3}))
    assert found == Placement("copy", "d,two", GB, (("x", "b"),), {"d,two": 25.0, "d,one": 60.0})


def test_a_copy_that_is_under_way_is_not_paid_again(choose: Choose) -> None:
    places = (*TWO_PLACES, store("c", "two"))
    found = choose(case(pilot("two"), stores=places, inputs=[reads("x", a="D", b="P"), reads("y", c="R")]))
    assert found == Placement("copy", "d,two", 0, (("x", "b"), ("y", "c")), {"d,two": 0.0})


@pytest.mark.parametrize(
    "place",
    [
        store("b", "two", room=GB - 1),
        store("b", "two", is_attached=False),
        store("b", "three"),
        {**store("b", "two"), "datacenter": ""},
    ],
)
def test_without_a_place_near_it_data_is_fetched_straight(choose: Choose, place: dict[str, Any]) -> None:
    found = choose(case(pilot("two"), stores=(store("a", "one"), place), inputs=[reads("x", a="D")]))
    assert found == Placement("straight", "d,two", GB, (), {"d,two": 10.0})


def test_where_a_copy_has_failed_none_is_made(choose: Choose) -> None:
    places = (*TWO_PLACES, store("c", "two", room=5 * GB))
    inputs = [reads("x", a="D", b="F")]
    assert choose(case(pilot("two"), stores=places, inputs=inputs)).copies == (("x", "c"),)
    assert choose(case(pilot("two"), stores=TWO_PLACES, inputs=inputs)).kind == PlacementKind.STRAIGHT


def test_most_room_is_taken_first(choose: Choose) -> None:
    places = [store("c", room=5 * GB), store("b", room=7 * GB), store("a", room=7 * GB)]
    assert choose(case(pilot("one"), stores=places, inputs=[reads("x")])).copies == (("x", "a"),)
    assert choose(case(pilot("one"), stores=[*places, store("z")], inputs=[reads("x")])).copies == (
        ("x", "z"),
    )


def test_a_wish_counts_where_a_pilot_is(choose: Choose) -> None:
    asked = case(pilot("one"), pilot("two"), stores=TWO_PLACES, inputs=[reads("x", a="D")], wish="two")
    assert choose(asked).site == "d,two"
    assert choose(replace(asked, pilots=[pilot("one"), pilot("three")])).site == "d,one"
    assert choose(replace(asked, pilots=[])).kind == PlacementKind.NOWHERE


def test_pilots_of_one_label_are_one_site(choose: Choose) -> None:
    pilots = (pilot("one", free=1, unit_s=2), pilot("one", free=2, unit_s=4))
    asked = case(*pilots, stores=TWO_PLACES, inputs=[reads("x", a="D")], cores=3)
    assert choose(asked).costs == {"d,one": 0.0}
    assert choose(replace(asked, waiting={"d,one": 1})).costs == {"d,one": 1.5}


@pytest.mark.parametrize(
    ("place", "is_near"), [(("d", ""), True), (("d", "one"), True), (("d", "two"), False), (("", ""), False)]
)
def test_a_place_without_machine_is_near_all_of_its_datacenter(
    choose: Choose, place: tuple[str, str], is_near: bool
) -> None:
    near = {**store("a", room=0), "datacenter": place[0], "machine": place[1]}
    found = choose(case(pilot("one"), stores=[near], inputs=[reads("x", a="D")]))
    assert (found.kind == PlacementKind.THERE) == is_near


MACHINES = ("", "one", "two", "three")
NAMES = ("a", "b", "c", "e")
PILOTS = st.builds(
    pilot,
    st.sampled_from(MACHINES),
    cores=st.integers(1, 8),
    free=st.integers(-2, 8),
    unit_s=st.sampled_from((0.1, 1.0, 30.0)),
)
SIZES = st.sampled_from((0, 1, GB, 30 * GB))
LETTERS = st.dictionaries(st.sampled_from(NAMES), st.sampled_from("PRDFC"), max_size=4)
CASES = st.builds(
    Case,
    st.lists(PILOTS, max_size=5),
    st.lists(
        st.builds(
            store,
            st.sampled_from(NAMES),
            st.sampled_from(MACHINES),
            room=st.sampled_from((UNLIMITED, 0, 2 * GB, 50 * GB)),
            is_attached=st.booleans(),
        ),
        max_size=4,
        unique_by=lambda place: place["name"],
    ),
    st.lists(
        st.builds(lambda name, size, letters: reads(name, size, **letters), st.sampled_from("xyz"), SIZES, LETTERS),
        min_size=1,
        max_size=3,
        unique_by=lambda given: given["name"],
    ),
    st.builds(
        lambda cores, wish: {"cores": cores, "block": cores, "datacenter": "", "machine": wish},
        st.integers(1, 8),
        st.sampled_from(MACHINES),
    ),
    st.dictionaries(st.sampled_from([f"d,{machine}" for machine in MACHINES]), st.integers(0, 20)),
)  # fmt: skip
CHECKED = settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


def machine_of(label: str) -> str:
    """Return the machine of a label."""
    return label.partition(",")[2]


def is_near(place: Mapping[str, Any], label: str) -> bool:
    """Tell whether a Pilot-Data is near a site."""
    return "" in {place["machine"], machine_of(label)} or place["machine"] == machine_of(label)


def is_there(known: Case, label: str) -> bool:
    """Tell whether all inputs are near a site."""
    near = {place["name"] for place in known.stores if is_near(place, label)}
    return all(any(given["letters"].get(name) == "D" for name in near) for given in known.inputs)


def cost_at(known: Case, label: str) -> tuple[float, int]:
    """Return seconds and bytes of a site."""
    near = {place["name"] for place in known.stores if is_near(place, label)}
    moved = sum(
        given["bytes"] for given in known.inputs if not any(given["letters"].get(name, "F") in "PRD" for name in near)
    )  # fmt: skip
    cores = known.queue["cores"]
    mine = [p for p in known.pilots if p["machine"] == machine_of(label) and p["cores"] >= cores]
    ahead = known.waiting.get(label, 0) + cores
    if sum(max(p["free"], 0) for p in mine) >= ahead:
        return moved / MOVED_PER_S, moved
    mean_s = sum(p["unit_s"] for p in mine) / len(mine)
    return moved / MOVED_PER_S + ahead / sum(p["cores"] for p in mine) * mean_s, moved


def sites_of(known: Case) -> set[str]:
    """Return the labels of the sites that a unit may go to."""
    fitting = {f"d,{p['machine']}" for p in known.pilots if p["cores"] >= known.queue["cores"]}
    wished = {label for label in fitting if known.queue["machine"] in {"", machine_of(label)}}
    return wished or fitting


@given(known=CASES)
@CHECKED
def test_a_unit_goes_to_the_cheapest_site_that_fits(choose: Choose, known: Case) -> None:
    found, possible = choose(known), sites_of(known)
    assert (found.kind == PlacementKind.NOWHERE) == (not possible)
    if not possible:
        return
    costs = {label: cost_at(known, label) for label in possible}
    assert set(found.costs) == possible
    assert found.costs == pytest.approx({label: cost for label, (cost, _) in costs.items()}, abs=0.001)
    assert found.bytes == costs[found.site][1]
    assert costs[found.site][0] <= min(cost for cost, _ in costs.values()) + 1e-9
    assert (found.kind == PlacementKind.THERE) == is_there(known, found.site)


@given(known=CASES)
@CHECKED
def test_only_what_is_not_there_is_copied_and_only_to_where_it_may(choose: Choose, known: Case) -> None:
    found = choose(known)
    places = {place["name"]: place for place in known.stores}
    for name, at in found.copies:
        (given,) = [given for given in known.inputs if given["name"] == name]
        letter = given["letters"].get(at)
        assert is_near(places[at], found.site)
        assert letter in {None, "P", "R"}
        assert letter or places[at]["is_attached"]
        assert letter or places[at]["room"] == UNLIMITED or places[at]["room"] >= given["bytes"]
        assert not any(
            given["letters"].get(other["name"]) == "D" for other in known.stores if is_near(other, found.site)
        )
    assert len({name for name, _ in found.copies}) == len(found.copies)
    assert (found.kind == PlacementKind.COPY) == bool(found.copies)


@given(known=CASES, order=st.randoms(use_true_random=False))
@CHECKED
def test_the_order_in_which_things_are_known_does_not_matter(choose: Choose, known: Case, order: Any) -> None:
    pilots, stores = list(known.pilots), list(known.stores)
    order.shuffle(pilots)
    order.shuffle(stores)
    assert choose(replace(known, pilots=pilots, stores=stores)) == choose(known)


@given(known=CASES)
@CHECKED
def test_a_site_with_the_data_and_free_cores_wins(choose: Choose, known: Case) -> None:
    def is_free(label: str) -> bool:
        mine = [
            p for p in known.pilots if f"d,{p['machine']}" == label and p["cores"] >= known.queue["cores"]
        ]
        ahead = known.waiting.get(label, 0) + known.queue["cores"]
        return bool(sum(max(p["free"], 0) for p in mine) >= ahead)

    ready = {label for label in sites_of(known) if is_there(known, label) and is_free(label)}
    if ready:
        assert choose(known).site in ready
