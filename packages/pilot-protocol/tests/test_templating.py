"""Templates: whatever the batch, each payload comes back as it was."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot_protocol.templating import common_part, merge, overrides

payloads = st.dictionaries(
    st.sampled_from(["executable", "arguments", "environment", "output", "retries"]),
    st.one_of(st.sampled_from(["a", "b"]), st.just(["x"]), st.just({"A": "1"}), st.integers(2, 3)),
)


def test_a_sweep_shares_all_but_what_varies() -> None:
    sweep = [
        {"executable": "/bin/echo", "arguments": [str(number)], "output": "out"} for number in range(500)
    ]
    common = common_part(sweep)
    assert common == {"executable": "/bin/echo", "output": "out"}
    assert overrides(sweep[7], common) == {"arguments": ["7"]}


def test_a_key_that_one_payload_lacks_is_not_shared() -> None:
    batch: list[dict[str, Any]] = [
        {"executable": "x", "retries": 1},
        {"executable": "x"},
        {"executable": "x", "retries": 1},
    ]
    assert common_part(batch) == {"executable": "x"}


@pytest.mark.parametrize(
    ("batch", "common"), [([], {}), ([{"a": 1}], {"a": 1}), ([{"a": 1}, {"b": 1}], {}), ([{}, {"a": 1}], {})]
)
def test_small_batches(batch: list[dict[str, int]], common: dict[str, int]) -> None:
    assert common_part(batch) == common


@settings(deadline=None)
@given(st.lists(payloads))
def test_every_payload_of_a_batch_comes_back(batch: list[dict[str, Any]]) -> None:
    common = common_part(batch)
    for payload in batch:
        own = overrides(payload, common)
        assert merge(common, own) == payload
        assert not own.keys() & common.keys()


@settings(deadline=None)
@given(payloads, payloads)
def test_a_template_of_another_batch_serves_or_is_refused(
    common: dict[str, Any], payload: dict[str, Any]
) -> None:
    if common.keys() <= payload.keys():
        assert merge(common, overrides(payload, common)) == payload
    else:
        with pytest.raises(ValueError, match="cannot be told by a template"):
            overrides(payload, common)


def test_the_first_payload_is_not_changed() -> None:
    first = {"a": 1}
    common_part([first, {"a": 2}])
    assert first == {"a": 1}
