"""Errors: their fields, their messages, and the way to another process."""

from __future__ import annotations

import pickle

import pytest

from pilot_protocol import errors
from pilot_protocol.errors import (
    ComputeUnitFailed,
    CoordinationError,
    DescriptionError,
    ForgedRecordError,
    MissingExtraError,
    PilotError,
    ProtocolError,
    StateError,
    SubmissionError,
    TransferError,
    UnknownKeyError,
    UnsatisfiableRequestError,
    VersionError,
)
from pilot_protocol.states import State

EXAMPLES = [
    PilotError("it broke"),
    DescriptionError("walltime is -1", key="walltime", value=-1),
    UnknownKeyError("no key 'exe'", key="exe"),
    UnsatisfiableRequestError("cu-a-1", "64 cores", "pilot p-2 has 16"),
    StateError("no such move"),
    ProtocolError("not JSON"),
    VersionError("1 and 2"),
    ForgedRecordError("no signature"),
    SubmissionError("queue is closed"),
    CoordinationError("connection refused"),
    TransferError("try again", transient=True),
    ComputeUnitFailed("cu-a-1", State.Failed, "exit", exit_code=2, stderr="no such file\n"),
    MissingExtraError("saga", "a pilot at slurm://cluster"),
]


def test_every_public_error_is_a_pilot_error_and_has_an_example() -> None:
    public = {
        error for error in vars(errors).values() if isinstance(error, type) and issubclass(error, Exception)
    }
    assert all(issubclass(error, PilotError) for error in public)
    assert public == {type(example) for example in EXAMPLES}


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_errors_survive_the_way_to_another_process(error: PilotError) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - written one line above
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)
    assert copy.transient == error.transient


def test_the_message_is_also_the_value_as_in_bigjob() -> None:
    assert PilotError("it broke").value == "it broke"


def test_only_what_may_pass_by_itself_is_transient() -> None:
    assert [type(error) for error in EXAMPLES if error.transient] == [CoordinationError, TransferError]
    assert not TransferError("the file is gone").transient


def test_description_error_has_its_key_and_value_as_fields() -> None:
    error = DescriptionError("retries is -1", key="retries", value=-1)
    assert (error.key, error.given) == ("retries", -1)


def test_unknown_key_is_an_attribute_error_so_that_hasattr_works() -> None:
    assert issubclass(UnknownKeyError, AttributeError)


def test_unsatisfiable_request_says_who_asks_what_is_there_and_what_to_do() -> None:
    message = str(UnsatisfiableRequestError("cu-a-1", "64 cores", "pilot p-2 has 16"))
    assert (
        message
        == "compute unit cu-a-1 asks for 64 cores, pilot p-2 has 16; ask for less or start a larger pilot"
    )


def test_failed_unit_says_exit_code_and_last_lines_of_stderr() -> None:
    stderr = "".join(f"line {number}\n" for number in range(100))
    message = str(ComputeUnitFailed("cu-a-1", State.Failed, "exit", exit_code=2, stderr=stderr))
    assert message.startswith(
        "compute unit cu-a-1 is Failed: reason exit, exit code 2; it said last:\n  line 90\n"
    )
    assert message.endswith("\n  line 99")


def test_failed_unit_says_its_signal_and_no_more_than_is_known() -> None:
    assert str(ComputeUnitFailed("cu-a-1", State.Failed, "signal", signal=9)) == (
        "compute unit cu-a-1 is Failed: reason signal, signal 9"
    )
    assert str(ComputeUnitFailed("cu-a-1", State.Canceled, "")) == "compute unit cu-a-1 is Canceled"


def test_missing_extra_says_what_to_type() -> None:
    assert "pip install 'pilot-client[saga]'" in str(MissingExtraError("saga", "a pilot at slurm://cluster"))
