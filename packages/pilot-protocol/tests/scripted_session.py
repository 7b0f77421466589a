"""A session on a real server, driven by tests: what a client and agents would say, in few words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from pilot_protocol import pilot_ops, reads, unit_ops
from pilot_protocol.keys import Keys, label_of, queue_name, shape_of
from pilot_protocol.messages import UnitRecord
from pilot_protocol.operation import Operation, Query, refusal
from pilot_protocol.scripts import NAMES, knows_flags, script

T = TypeVar("T")

SESSION = "s-abcdefghijklmnop"
GROUP = "abcdef"
OWNER = "cds-aaaaaaaa"
SERVICE = "pcs-aaaaaaaa"
LEASE_MS = 3_600_000


def queue(cores: int = 1, *, owner: str = OWNER, priority: int = 0, label: str = "", gpus: int = 0) -> str:
    """Return the name of a queue; ``label`` is a machine."""
    return queue_name(owner, label_of(machine=label), shape_of(cores, cores, gpus), priority)


def unit_id(number: int) -> str:
    """Return the id of a unit of the group that tests use."""
    return f"cu-{GROUP}-{number}"


class ServerLink:
    """One connection and the scripts that its server takes."""

    def __init__(self, socket: str, **credentials: str) -> None:
        options: dict[str, Any] = {"protocol": 2, "retry": Retry(NoBackoff(), 0), **credentials}
        self.client: Any = redis.Redis(unix_socket_path=socket, **options)
        facts: dict[str, Any] = cast("dict[str, Any]", self.client.info("server"))
        self.boot = str(facts["run_id"])
        self.version = tuple(map(int, str(facts["redis_version"]).split(".")))
        self.scripts = {name: script(name, flags=knows_flags(str(facts["redis_version"]))) for name in NAMES}
        for known in self.scripts.values():
            self.client.script_load(known.source)

    def run(self, operation: Operation[T]) -> T:
        """Run an operation; refusals are raised as the exceptions of the protocol."""
        words = (1, operation.prefix, self.boot, *operation.arguments)
        try:
            return operation.parse(
                self.client.execute_command("EVALSHA", self.scripts[operation.script].digest, *words)
            )
        except redis.ResponseError as error:
            raise refusal(str(error)) or error from None

    def query(self, query: Query[T]) -> T:
        """Run a read."""
        return query.parse(self.client.execute_command(*query.command))


class ScriptedSession:
    """One open session with one compute-data service, whose units the pilots of one service may run."""

    def __init__(self, link: ServerLink) -> None:
        self.link = link
        self.client = link.client
        self.keys = Keys(SESSION)
        self.run = link.run
        self.run(pilot_ops.open_session(self.keys, "1.0", LEASE_MS))
        self.run(pilot_ops.attach(self.keys, SERVICE, OWNER))

    def submit(self, *numbers: int, into: str = "", **wishes: Any) -> unit_ops.Submitted:
        """Submit units by their numbers; ``after`` names predecessors by theirs."""
        into = into or queue()
        after = tuple(unit_id(number) for number in wishes.pop("after", ()))
        units = [
            unit_ops.NewUnit(unit_id(number), into, b"description %d" % number, predecessors=after, **wishes)
            for number in numbers
        ]
        return self.run(unit_ops.submit(self.keys, GROUP, into.split("/", 1)[0], units, {}))

    def cancel(self, *numbers: int) -> str:
        """Cancel units by their numbers."""
        return self.run(
            unit_ops.cancel(self.keys, [(unit_id(number), b"cancel %d" % number) for number in numbers])
        )

    def sweep(self) -> int:
        """Look for pilots whose lease has passed."""
        return self.run(pilot_ops.sweep(self.keys))

    def pass_lease(self, pilot: ScriptedPilot) -> None:
        """Let a pilot's lease have passed, without waiting for it."""
        self.client.zadd(self.keys.named("leases"), {pilot.name: 1}, xx=True)

    def restart_server(self, boot: str, *, wait: bool = False) -> None:
        """Let the server have restarted; unless ``wait``, the least time that nobody may claim is over."""
        self.link.boot = boot
        self.run(pilot_ops.sweep(self.keys))
        if not wait:
            self.client.hset(self.keys.named("meta"), "barrier_least", 0)

    def record(self, number: int) -> UnitRecord:
        """Return a unit's record."""
        (found,) = self.link.query(reads.units(self.keys, [unit_id(number)]))
        assert found is not None
        return found

    def letters(self, *numbers: int) -> str:
        """Return the letters of units' states."""
        return "".join(self.record(number).letter for number in numbers)

    def reason(self, number: int) -> str | None:
        """Return why a script ended a unit."""
        return self.link.query(reads.reasons(self.keys, [unit_id(number)]))[0]

    def events(self) -> list[reads.SessionEvent]:
        """Return all events."""
        return self.link.query(reads.events(self.keys, "0-0", 1))

    def pilot(self, name: str = "p-aaaaaaaa", *, cores: int = 4, **record: Any) -> ScriptedPilot:
        """Return a pilot whose agent has registered and synced."""
        pilot = ScriptedPilot(self, name, cores, record)
        pilot.register()
        pilot.sync()
        return pilot


class ScriptedPilot:
    """A pilot and what its agent says."""

    def __init__(self, session: ScriptedSession, name: str, cores: int, record: dict[str, Any]) -> None:
        self.session, self.name, self.cores = session, name, cores
        self.record = {"cores": cores, "node_cores": cores, "label": ",", "service": SERVICE, **record}
        self.epoch = ""
        self.number = 0
        self.seen = 0
        session.run(pilot_ops.create_pilot(session.keys, name, str(self.record["service"]), b"description"))

    def register(self, instance: str = "first start") -> pilot_ops.Registered:
        """Register a start of the agent."""
        reply = self.session.run(
            pilot_ops.register(self.session.keys, self.name, instance, LEASE_MS, self.record)
        )
        self.epoch = reply.epoch
        return reply

    def sync(self, *held: tuple[int, int]) -> tuple[str, ...]:
        """Tell which units, by number and attempt, the agent holds."""
        told = [(unit_id(number), attempt) for number, attempt in held]
        return self.session.run(pilot_ops.sync(self.session.keys, self.name, self.epoch, LEASE_MS, told))

    def ask(
        self, units: int, *, cores: int | None = None, reserve: bool = False, again: bool = False
    ) -> unit_ops.Claimed:
        """Claim; ``again`` says the last claim once more."""
        self.number += not again
        request = unit_ops.ClaimRequest(
            self.name, self.epoch, self.number, units, units if cores is None else cores, reserve, self.seen
        )
        return self.session.run(unit_ops.claim(self.session.keys, request))

    def claim(self, units: int, **how: Any) -> list[int]:
        """Claim and return the numbers of the units."""
        return [int(unit.id.rpartition("-")[2]) for unit in self.ask(units, **how).units]

    def report(self, *items: tuple[int, int, str], result: bytes = b"result") -> str:
        """Report number, attempt and letter of units; returns the digits."""
        return self.report_all(items, result).outcomes

    def report_all(self, items: Sequence[tuple[int, int, str]], result: bytes = b"") -> unit_ops.Reported:
        """Report number, attempt and letter of units."""
        told = [
            unit_ops.UnitReport(unit_id(number), attempt, letter, result) for number, attempt, letter in items
        ]
        return self.session.run(unit_ops.report(self.session.keys, self.name, self.epoch, told))

    def beat(self) -> pilot_ops.Beaten:
        """Renew the lease."""
        return self.session.run(
            pilot_ops.beat(self.session.keys, self.name, self.epoch, LEASE_MS, self.seen, {"free_cores": 1})
        )

    def end(self, state: str = "Done", *, epoch: str | None = None) -> int:
        """End the pilot."""
        how = pilot_ops.PilotEnd(state, "asked")
        return self.session.run(
            pilot_ops.end(self.session.keys, self.name, self.epoch if epoch is None else epoch, how)
        )

    def state(self) -> str:
        """Return its state."""
        return self.session.link.query(reads.pilot(self.session.keys, self.name))["state"].decode()

    def bells(self) -> list[bytes]:
        """Return what its doorbell would tell."""
        return list(self.session.client.lrange(self.session.keys.door(self.name), 0, -1))

    def answer_bell(self) -> list[bytes]:
        """Take everything from the doorbell."""
        rung = self.bells()
        self.session.client.delete(self.session.keys.door(self.name))
        return rung
