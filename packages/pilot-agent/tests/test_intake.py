from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from pilot_agent.actions import ReportItem
from pilot_agent.events import ClaimedUnit
from pilot_agent.intake import TEMPLATES_KEPT, Intake
from pilot_protocol import codec, unit_payloads
from pilot_protocol.compute_descriptions import validate_compute_unit
from pilot_protocol.signing import TEMPLATE, UNIT, Seal
from pilot_protocol.unit_ops import LeasedUnit

SEAL = Seal("s-a", bytes(32))
FORGER = Seal("s-a", b"x" * 32)
TRUE = {"executable": "/bin/true"}


class Store:
    """Templates as Redis keeps them, and which of them were asked for."""

    def __init__(self, templates: Mapping[str, bytes]) -> None:
        self.templates = dict(templates)
        self.asked: list[list[str]] = []

    async def fetch(self, digests: Sequence[str]) -> list[bytes | None]:
        self.asked.append(list(digests))
        return [self.templates.get(digest) for digest in digests]


@pytest.fixture
def intake() -> Intake:
    return Intake(SEAL, "p-a", "/sandbox")


def leased(*payloads: Mapping[str, Any], seal: Seal = SEAL, first: int = 0) -> tuple[list[LeasedUnit], Store]:
    ids = [f"cu-a-{first + number}" for number in range(len(payloads))]
    templates, records = unit_payloads.pack(seal, ids, payloads)
    return [LeasedUnit(name, 1, record) for name, record in zip(ids, records)], Store(templates)


def take(
    intake: Intake, units: Sequence[LeasedUnit], store: Store
) -> tuple[list[ClaimedUnit], list[ReportItem]]:
    asyncio.run(intake.learn_templates(units, store.fetch))
    return intake.accept(units)


def only_rejection(taken: tuple[list[ClaimedUnit], list[ReportItem]]) -> ReportItem:
    accepted, (rejection,) = taken
    assert accepted == []
    assert (rejection.attempt, rejection.letter, rejection.reason) == (1, "F", "rejected")
    return rejection


def test_a_unit_becomes_an_order(intake: Intake) -> None:
    description = {
        "executable": "/bin/echo",
        "arguments": ["a", "b"],
        "number_of_processes": 2,
        "threads_per_process": 3,
        "environment": {"X": "1"},
        "working_directory": "w",
        "input": "i",
        "output": "o",
        "error": "e",
        "pre_exec": ["p"],
        "post_exec": ["q"],
        "walltime": 5,
        "expand_arguments": False,
    }
    accepted, rejected = take(intake, *leased(validate_compute_unit(description)))
    assert rejected == []
    (unit,) = accepted
    assert (unit.id, unit.attempt, unit.spec.cores, unit.spec.walltime) == ("cu-a-0", 1, 6, 5)
    assert unit.order == {
        "id": "cu-a-0",
        "attempt": 1,
        "exe": "/bin/echo",
        "args": ["a", "b"],
        "env": {
            "X": "1",
            "OMP_NUM_THREADS": "3",
            "PILOT_ID": "p-a",
            "PILOT_UNIT_ID": "cu-a-0",
            "PILOT_UNIT_ATTEMPT": "1",
        },
        "cwd": "w",
        "stdin": "i",
        "stdout": "o",
        "stderr": "e",
        "pre": ["p"],
        "post": ["q"],
        "expand": False,
        "sandbox": "/sandbox/cu-a-0",
    }


def test_a_users_number_of_threads_stays(intake: Intake) -> None:
    payload = {**TRUE, "threads_per_process": 4, "environment": {"OMP_NUM_THREADS": "1"}}
    ((unit,), _) = take(intake, *leased(payload))
    assert unit.order["env"]["OMP_NUM_THREADS"] == "1"


def test_what_the_agent_says_about_a_unit_cannot_be_overwritten(intake: Intake) -> None:
    ((unit,), _) = take(intake, *leased({**TRUE, "environment": {"PILOT_UNIT_ID": "cu-b-7"}}))
    assert unit.order["env"]["PILOT_UNIT_ID"] == "cu-a-0"


def test_units_of_a_sweep_share_a_template_that_is_fetched_once(intake: Intake) -> None:
    payloads = [{**TRUE, "arguments": [str(number)]} for number in range(3)]
    units, store = leased(*payloads)
    accepted, _ = take(intake, units, store)
    assert [unit.order["args"] for unit in accepted] == [["0"], ["1"], ["2"]]
    take(intake, units, store)
    assert len(store.asked) == 1


def test_no_unit_of_a_sweep_changes_another(intake: Intake) -> None:
    accepted, _ = take(intake, *leased(*[{**TRUE, "environment": {"X": "1"}}] * 2))
    assert [unit.order["env"]["PILOT_UNIT_ID"] for unit in accepted] == ["cu-a-0", "cu-a-1"]


def test_many_sweeps_do_not_fill_the_memory(intake: Intake) -> None:
    for number in range(TEMPLATES_KEPT + 10):
        sweep = leased(*[{**TRUE, "name": str(number)}] * 2)
        accepted, rejected = take(intake, *sweep)
        assert (len(accepted), rejected) == (2, [])
    assert len(intake._templates) <= TEMPLATES_KEPT + 1


def test_units_that_need_no_template_ask_for_none(intake: Intake) -> None:
    units, store = leased(TRUE)
    take(intake, units, store)
    assert store.asked == []


def test_a_forged_description_is_rejected_and_says_so(intake: Intake) -> None:
    rejection = only_rejection(take(intake, *leased(TRUE, seal=FORGER)))
    assert "cu-a-0 is not signed with this session's key" in rejection.message


def test_a_description_that_was_moved_to_another_unit_is_rejected(intake: Intake) -> None:
    (unit,), store = leased(TRUE)
    moved = LeasedUnit("cu-a-9", 1, unit.description)
    assert only_rejection(take(intake, [moved], store)).id == "cu-a-9"


def test_a_record_of_another_kind_is_rejected(intake: Intake) -> None:
    template = SEAL.close(TEMPLATE, "cu-a-0", b"\n" + codec.encode(TRUE))
    only_rejection(take(intake, [LeasedUnit("cu-a-0", 1, template)], Store({})))


def test_a_missing_template_rejects_its_units(intake: Intake) -> None:
    units, store = leased(TRUE, TRUE)
    store.templates.clear()
    accepted, rejected = take(intake, units, store)
    assert accepted == []
    assert ["which is missing" in item.message for item in rejected] == [True, True]


def test_a_missing_template_is_asked_for_again(intake: Intake) -> None:
    units, store = leased(TRUE, TRUE)
    take(intake, units, Store({}))
    assert len(take(intake, units, store)[0]) == 2


@pytest.mark.parametrize("text", [b"[]", b"no json", b'{"executable": 1}'])
def test_a_template_that_cannot_be_used_rejects_its_units(intake: Intake, text: bytes) -> None:
    units, store = leased(TRUE, TRUE)
    store.templates = {digest: SEAL.close(TEMPLATE, digest, text) for digest in store.templates}
    accepted, rejected = take(intake, units, store)
    assert (accepted, len(rejected)) == ([], 2)


def test_a_forged_template_rejects_its_units(intake: Intake) -> None:
    units, store = leased(TRUE, TRUE)
    store.templates = {
        digest: FORGER.close(TEMPLATE, digest, codec.encode(TRUE)) for digest in store.templates
    }
    assert take(intake, units, store)[0] == []


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"short",
        b"\xff" * 40,
        SEAL.close(UNIT, "cu-a-0", b""),
        SEAL.close(UNIT, "cu-a-0", b"{}"),
        SEAL.close(UNIT, "cu-a-0", b"\n"),
        SEAL.close(UNIT, "cu-a-0", b"\n[]"),
        SEAL.close(UNIT, "cu-a-0", b"\n{}"),
        SEAL.close(UNIT, "cu-a-0", b'\n{"executable": ["/bin/true"]}'),
        SEAL.close(UNIT, "cu-a-0", b'\n{"executable": "x", "arguments": "a b"}'),
        SEAL.close(UNIT, "cu-a-0", b'\n{"executable": "x", "number_of_processes": 0}'),
        SEAL.close(UNIT, "cu-a-0", b"\xff\xfe\n{}"),
        SEAL.close(UNIT, "cu-a-0", b"\n" + b"[" * 100_000),
    ],
)
def test_a_record_that_cannot_be_read_harms_no_other_unit(intake: Intake, record: bytes) -> None:
    (good,), store = leased(TRUE, first=1)
    accepted, rejected = take(intake, [LeasedUnit("cu-a-0", 1, record), good], store)
    assert [unit.id for unit in accepted] == ["cu-a-1"]
    assert [(item.id, item.reason) for item in rejected] == [("cu-a-0", "rejected")]


def test_a_key_of_a_newer_client_is_passed_over(intake: Intake) -> None:
    accepted, rejected = take(intake, *leased({**TRUE, "colour": "blue"}))
    assert (len(accepted), rejected) == (1, [])


def test_an_mpi_unit_is_told_its_number_of_ranks(intake: Intake) -> None:
    payload = {**TRUE, "spmd_variation": "mpi", "number_of_processes": 3, "threads_per_process": 2}
    ((unit,), _) = take(intake, *leased(payload))
    assert (unit.spec.cores, unit.order["env"]["PILOT_RANKS"]) == (6, "3")
    assert unit.order["env"]["OMP_NUM_THREADS"] == "2"


def test_a_unit_of_another_kind_is_refused_in_words_that_name_it(intake: Intake) -> None:
    rejection = only_rejection(take(intake, *leased({**TRUE, "spmd_variation": "grid"})))
    assert rejection.message == "this agent runs units of single and mpi, cu-a-0 is one of 'grid'"


def only(intake: Intake, **description: Any) -> ClaimedUnit:
    (accepted,), _ = take(intake, *leased({**TRUE, **description}))
    return accepted


def test_a_unit_without_data_has_none(intake: Intake) -> None:
    unit = only(intake)
    assert unit.data is None
    assert not unit.order.keys() & {"folder", "deliver"}


def test_a_unit_with_data_has_a_folder_of_its_own_and_takes_along_what_is_to_be_delivered(
    intake: Intake,
) -> None:
    unit = only(
        intake,
        input_data={"du-i": ["*"]},
        output_data={"du-o": ["out"]},
        file_transfer=["a > b", "c < d"],
        keep_failed_outputs=True,
    )
    folder = "/sandbox/cu-a-0"
    assert unit.data == (folder, {"du-i": ["*"]}, ["a > b"], {"du-o": ["out"]}, ["c < d"], True)
    assert unit.order["folder"] == folder
    assert unit.order["deliver"] == {
        "folder": folder, "data": {"du-o": ["out"]}, "transfers": ["c < d"], "keeps_failed": True,
    }  # fmt: skip


def test_a_unit_that_only_reads_delivers_nothing(intake: Intake) -> None:
    unit = only(intake, input_data={"du-i": ["*"]})
    assert unit.data is not None
    assert unit.data.is_staged
    assert unit.order["deliver"] == {}


@pytest.mark.parametrize(
    ("written", "folder"),
    [
        ("here", "/sandbox/here"),
        ("/there/../elsewhere", "/elsewhere"),
        ("$BASE/$PILOT_UNIT_ID", "/base/cu-a-0"),
        ("~/x", "/home/x"),
    ],
)
def test_a_working_directory_is_known_before_the_unit_starts(written: str, folder: str) -> None:
    intake = Intake(SEAL, "p-a", "/sandbox", {"HOME": "/home"})
    environment = {"BASE": "/base"}
    unit = only(intake, working_directory=written, environment=environment, input_data={"du-i": ["*"]})
    assert unit.order["folder"] == folder
    plain = only(intake, working_directory=written, input_data={"du-i": ["*"]}, expand_arguments=False).order[
        "folder"
    ]
    assert plain == os.path.normpath(os.path.join("/sandbox", written))


def test_a_working_directory_that_names_cores_cannot_have_data(intake: Intake) -> None:
    rejection = only_rejection(
        take(
            intake,
            *leased({**TRUE, "working_directory": "on-$PILOT_UNIT_CORES", "output_data": {"du-o": ["*"]}}),
        )
    )
    assert "names PILOT_UNIT_CORES, which is not known yet" in rejection.message
