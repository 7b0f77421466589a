from __future__ import annotations

from collections.abc import Iterator

import pytest

from clock_loop import ClockLoop, clock_loop
from pilot_agent.contact import FIRST_PAUSE_S, LONGEST_PAUSE_S, Contact
from pilot_protocol.errors import CoordinationError

PATIENCE_S = 600.0
LOST = CoordinationError("nobody answers")


@pytest.fixture
def loop() -> Iterator[ClockLoop]:
    with clock_loop() as loop:
        yield loop


@pytest.fixture
def contact(loop: ClockLoop) -> Contact:
    made: list[Contact] = []
    loop.do(lambda: made.append(Contact(PATIENCE_S)))
    return made[0]


def pause(loop: ClockLoop, contact: Contact) -> float:
    """Let the contact wait; return for how long it does."""
    began_s = loop.time()
    task = loop.create_task(contact.wait(LOST))
    loop.spin()
    while not task.done():
        loop.advance(FIRST_PAUSE_S)
    task.result()
    return round(loop.time() - began_s, 6)


def test_pauses_get_longer_up_to_a_limit(loop: ClockLoop, contact: Contact) -> None:
    pauses = [pause(loop, contact) for _ in range(9)]
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]
    assert (pauses[0], pauses[-1]) == (FIRST_PAUSE_S, LONGEST_PAUSE_S)


def test_pauses_get_short_again_only_when_the_server_serves(loop: ClockLoop, contact: Contact) -> None:
    pause(loop, contact)
    loop.do(contact.made)
    assert pause(loop, contact) == 0.1
    loop.do(contact.served)
    assert pause(loop, contact) == FIRST_PAUSE_S


def test_patience_ends_and_says_for_how_long_and_why(loop: ClockLoop, contact: Contact) -> None:
    loop.advance(PATIENCE_S + 1)
    task = loop.create_task(contact.wait(LOST))
    loop.spin()
    with pytest.raises(CoordinationError, match="no contact to Redis for 600 s: nobody answers; see whether"):
        task.result()


@pytest.mark.parametrize(("tunneled", "was_made"), [(False, False), (True, False), (False, True)])
def test_a_tunnel_is_advised_where_there_is_none_and_the_server_was_never_reached(
    loop: ClockLoop, tunneled: bool, was_made: bool
) -> None:
    made: list[Contact] = []
    loop.do(lambda: made.append(Contact(PATIENCE_S, tunneled=tunneled)))
    if was_made:
        loop.do(made[0].made)
    loop.advance(PATIENCE_S + 1)
    task = loop.create_task(made[0].wait(LOST))
    loop.spin()
    assert ("'tunnel': True" in str(task.exception())) is not (tunneled or was_made)


def test_a_server_that_answers_is_waited_for(loop: ClockLoop, contact: Contact) -> None:
    loop.advance(PATIENCE_S)
    loop.do(contact.made)
    loop.advance(PATIENCE_S)
    assert pause(loop, contact) == FIRST_PAUSE_S


def test_an_agent_in_a_hurry_gives_up_sooner_never_later(loop: ClockLoop, contact: Contact) -> None:
    contact.hurry(30.0)
    contact.hurry(1000.0)
    loop.advance(31.0)
    task = loop.create_task(contact.wait(LOST))
    loop.spin()
    assert isinstance(task.exception(), CoordinationError)
