"""The head's conversation with Redis: one command at a time, in the order that keeps every promise.

After each (re)connection: register if the epoch is not ours, say again what a restarted server may have forgotten,
sync what is held, and only then claim. While the link is down nothing is lost: the core's reports wait, and whatever
was said without hearing the reply is said again. The lease is guarded with this node's monotonic clock: shortly before
it can have ended without contact, the core is told to stop its units.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Sequence
from typing import Callable

from pilot_protocol import pilot_ops, reads, unit_ops
from pilot_protocol.keys import Keys
from pilot_protocol.operation import BarrierError, FencedError, NoSessionError, PilotEndedError
from pilot_protocol.version import check_peer

from . import events
from .actions import Claim, Report
from .config import AgentConfig
from .contact import contact_for
from .controls import Controls
from .coordination_parts import Hooks, Parts
from .lease import Lease
from .redis_link import LinkLostError, ServerFullError
from .standing import Standing

logger = logging.getLogger(__name__)

_CLAIM_PAUSE_S = 1.0
"""When to claim again after the server has put claims off."""

Step = Callable[[], Awaitable[None]]


class Coordinator:
    """Keeps one pilot's side of the protocol.

    Args:
        config: The agent's settings.
        instance: A nonce of this start of the head.
        parts: Link, signatures, intake, outcome.
        hooks: The rest of the head.
    """

    def __init__(self, config: AgentConfig, instance: str, parts: Parts, hooks: Hooks) -> None:
        self._config, self._instance, self._parts, self._hooks = config, instance, parts, hooks
        self._keys = Keys(config.session)
        self._epoch = self._boot = ""
        self._connected = asyncio.Event()
        self._registered = self._synced = self._beat_due = False
        self._must_repeat = False  # what a server that has forgotten it must hear before all else
        self._contact = contact_for(config)
        self._claim: Claim | None = None
        self._claim_number = 0
        self._claim_not_before = 0.0
        self._claimed_last = False
        self._report: Report | None = None
        self._end: pilot_ops.PilotEnd | None = None
        self._ended = False
        self._work = asyncio.Event()
        self._controls = Controls(parts.seal, config.pilot, hooks.dispatch, self._want_beat)
        fence = self._fence_self if config.on_partition == "stop" else None
        self._lease = Lease(config.lease_s, self._want_beat, fence)

    def report(self, report: Report) -> None:
        """Take the core's report; answered with ``ReportConfirmed``."""
        self._report = report
        self._work.set()

    def claim(self, claim: Claim) -> None:
        """Take the core's claim; answered with ``UnitsClaimed``."""
        self._claim = claim
        self._claim_number += 1
        self._work.set()

    def end(self, how: pilot_ops.PilotEnd) -> None:
        """End the pilot once everything is reported; :meth:`run` returns then."""
        self._end = how
        self._work.set()

    def hurry(self) -> None:
        """Wait for a Redis that is gone no longer than a lease: then what is left to say is of no use any more."""
        self._contact.hurry(self._config.lease_s)

    def close(self) -> None:
        """Stop the timers."""
        self._lease.close()

    async def run(self) -> None:
        """Talk to Redis until the pilot has ended.

        Raises:
            PilotEndedError: Somebody else ended the pilot, or the session is gone.
            CoordinationError: Redis refuses for good: a wrong password, another protocol version.
        """
        while not self._ended:
            step = self._next_step()
            if step is None:
                await self._work.wait()
                self._work.clear()
                continue
            await self._attempt(step)

    def _next_step(self) -> Step | None:
        if not self._connected.is_set():
            return self._connect
        if not self._registered:
            return self._register
        if not self._synced:
            return self._sync
        if self._beat_due:
            return self._beat
        may_claim = self._claim is not None and asyncio.get_running_loop().time() >= self._claim_not_before
        # Cores wait for a claim, people for a report, and a busy agent always has both: by turns.
        if self._report is not None and (self._claimed_last or not may_claim):
            return self._send_report
        if may_claim:
            return self._send_claim
        return self._send_end if self._end is not None else None

    async def _attempt(self, step: Step) -> None:
        try:
            await step()
        except BarrierError:
            self._put_claims_off()
        except FencedError:
            logger.warning("pilot.fenced epoch=%s", self._epoch, extra={"action": "pilot.fenced"})
            self._registered = self._synced = False
        except (LinkLostError, NoSessionError) as error:
            if self._connected.is_set():
                logger.warning("link.lost %s", error, extra={"action": "link.lost"})
            self._connected.clear()
            await self._contact.wait(error)
        else:
            if step == self._connect:
                self._contact.made()
            else:
                self._contact.served()

    def _put_claims_off(self) -> None:
        loop = asyncio.get_running_loop()
        self._claim_not_before = loop.time() + _CLAIM_PAUSE_S
        loop.call_at(self._claim_not_before, self._work.set)

    async def _connect(self) -> None:
        await self._parts.link.connect()
        protocol = await self._parts.link.query(reads.protocol(self._keys))
        if protocol is None:
            raise NoSessionError(f"session {self._config.session} is not on this server")
        check_peer(protocol, who=f"session {self._config.session}")
        if self._boot and self._parts.link.boot != self._boot:
            logger.warning("server.restarted", extra={"action": "server.restarted"})
            self._synced, self._must_repeat = False, True
            if (await self._standing()).is_forgotten:
                self._registered = False
        self._boot = self._parts.link.boot
        self._connected.set()
        # What rang while nobody listened is not heard again.
        self._want_beat()
        self._hooks.dispatch(events.Doorbell())

    async def _register(self) -> None:
        if self._epoch:
            standing = await self._standing()
            if standing.is_succeeded:
                raise PilotEndedError(f"another agent has taken up pilot {self._config.pilot}")
            self._must_repeat = self._must_repeat or standing.is_forgotten
        asked = asyncio.get_running_loop().time()
        operation = pilot_ops.register(
            self._keys, self._config.pilot, self._instance, self._config.lease_ms, self._hooks.record()
        )
        reply = await self._parts.link.run(operation)
        self._epoch = reply.epoch
        self._registered = True
        self._hooks.registered(self._epoch)
        self._lease.renewed(asked)
        self._parts.clock.learn(reply.server_ms, time.time())
        logger.info("pilot.registered epoch=%s", self._epoch, extra={"action": "pilot.registered"})

    async def _standing(self) -> Standing:
        record = await self._parts.link.query(reads.pilot(self._keys, self._config.pilot))
        return Standing.of(record, self._epoch or "0", self._instance)

    async def _sync(self) -> None:
        """Report first: an end that Redis has not heard of must not go back into a queue, nor a start for free."""
        if self._must_repeat:
            self._must_repeat, self._report = False, None  # the core reports again, some of it later
            self._hooks.dispatch(events.ServerForgot(self._hooks.said_lately()))
        while self._report is not None:
            await self._send_report()
        asked = asyncio.get_running_loop().time()
        held = self._hooks.held()
        drop = await self._parts.link.run(
            pilot_ops.sync(self._keys, self._config.pilot, self._epoch, self._config.lease_ms, held)
        )
        self._synced = True
        self._lease.renewed(asked)
        self._hooks.dispatch(events.Fenced(drop))
        # The core asks again for what it had asked for.
        self._claim = self._report = None
        self._hooks.dispatch(events.LinkBack())

    async def _beat(self) -> None:
        asked = asyncio.get_running_loop().time()
        reply = await self._parts.link.run(
            pilot_ops.beat(
                self._keys,
                self._config.pilot,
                self._epoch,
                self._config.lease_ms,
                self._controls.seen,
                self._hooks.record(),
            )
        )
        self._beat_due = False
        self._lease.renewed(asked)
        self._parts.clock.learn(reply.server_ms, time.time())
        self._synced = self._synced and not reply.must_sync
        self._controls.obey(reply.controls)
        if reply.replicas_are_asked:
            self._hooks.needed()

    def _want_beat(self) -> None:
        self._beat_due = True
        self._work.set()

    def _fence_self(self) -> None:
        logger.error("lease.ended without contact to Redis", extra={"action": "lease.ended"})
        self._synced = False
        self._hooks.dispatch(events.LeaseEnded())

    async def _send_claim(self) -> None:
        claim = self._claim
        if claim is None:
            return
        self._claimed_last = True
        request = unit_ops.ClaimRequest(
            self._config.pilot,
            self._epoch,
            self._claim_number,
            claim.want,
            claim.cores,
            bool(claim.reserve),
            self._controls.seen,
        )
        try:
            reply = await self._parts.link.run(unit_ops.claim(self._keys, request))
        except ServerFullError as error:
            logger.warning("claim.refused %s", error, extra={"action": "claim.refused"})
            self._put_claims_off()
            return
        self._parts.clock.learn(reply.server_ms, time.time())
        await self._parts.intake.learn_templates(reply.units, self._fetch_templates)
        self._claim = None
        self._hooks.dispatch(events.UnitsClaimed(*self._parts.intake.accept(reply.units)))
        self._controls.obey(reply.controls)

    async def _fetch_templates(self, digests: Sequence[str]) -> Sequence[bytes | None]:
        return await self._parts.link.query(reads.templates(self._keys, digests))

    async def _send_report(self) -> None:
        report = self._report
        if report is None:
            return
        self._claimed_last = False
        told = [self._parts.outcome.report(item) for item in report.items]
        reply = await self._parts.link.run(unit_ops.report(self._keys, self._config.pilot, self._epoch, told))
        self._parts.clock.learn(reply.server_ms, time.time())
        self._report = None
        self._hooks.confirmed(report.items, reply.outcomes)
        self._hooks.dispatch(events.ReportConfirmed(reply.outcomes))
        if not reply.current and self._report is None:
            # All that is left to say is said first: results are taken although the pilot may be lost by now.
            self._registered = self._synced = False

    async def _send_end(self) -> None:
        if self._end is not None:
            await self._parts.link.run(pilot_ops.end(self._keys, self._config.pilot, self._epoch, self._end))
        self._ended = True

    async def listen(self) -> None:
        """Wait at the doorbell for as long as the agent lives."""
        while True:
            await self._connected.wait()
            try:
                tone = await self._parts.link.wait_for_bell(self._keys.door(self._config.pilot))
            except LinkLostError:
                # Both connections go to the same server. While one is being made this is only the old one's end.
                self._connected.clear()
                self._work.set()
                continue
            if tone == "control":
                self._want_beat()
            else:
                self._hooks.dispatch(events.Doorbell())
