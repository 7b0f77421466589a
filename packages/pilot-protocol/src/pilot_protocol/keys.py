"""Every Redis key of a session. No other module builds one.

All keys share the prefix ``pilot:1:{<session>}:``. The braces put a session into one slot of a Redis Cluster, so that
scripts may touch all of it. A session has a fixed number of keys, some per pilot, per queue and per data unit; none per compute
unit.
Lua scripts receive the prefix as their only KEYS entry and add the same names (see ``lua/prelude/``).
"""

from __future__ import annotations

from urllib.parse import quote

from .version import MAJOR

SINGLE = (
    "meta",  # hash: protocol, created, lease, boot, barrier, sequence
    "units",  # hash: unit → state record
    "descriptions",  # hash: unit → sealed template reference and overrides
    "templates",  # hash: digest → sealed common part of a sweep
    "results",  # hash: unit → sealed result
    "reasons",  # hash: unit → why a script, not an agent, ended it
    "counts",  # hash: group|letter → number of units
    "groups",  # hash: group → owner
    "open_predecessors",  # hash: waiting unit → number of open predecessors
    "successors",  # hash: predecessor → waiting units
    "releases",  # list: what is still to be followed up: names whose successors are to be told, units to be placed again
    "abandoned",  # set: pilots that ended with units in their own queues
    "cancels",  # hash: unit → 1 while a cancellation is on its way to a pilot
    "vain_claims",  # hash: unit that came back unstarted → how often since it last started
    "inputs",  # hash: unit that has not ended → mode, wished label, data units that it reads
    "outputs",  # hash: unit that has not ended → data units that it adds files to
    "placements",  # hash: unit with inputs → where it was placed, and why
    "unplaced",  # list: units with inputs that are ready, and that no living pilot could take
    "copying",  # hash: owner/label → cores of units that wait for copies to that site
    "pilots",  # hash: pilot → its PilotComputeService
    "attachments",  # hash: PilotComputeService or PilotDataService → compute-data services that use what it has
    "leases",  # sorted set: pilot → end of its lease, server milliseconds
    "absent",  # set: pilots that have not synced since the server came back
    "pilot_data",  # hash: Pilot-Data → sealed record
    "pilot_data_states",  # hash: Pilot-Data → state and reason
    "pilot_data_used",  # hash: Pilot-Data → bytes that its replicas take
    "pilot_data_places",  # hash: Pilot-Data → PilotDataService, label, most bytes
    "pilot_data_made",  # list: Pilot-Data in the order in which they were made
    "data_units",  # hash: data unit → sealed record
    "data_unit_states",  # hash: data unit → state, replicas asked for, reason
    "data_unit_bytes",  # hash: data unit → bytes of its files
    "data_units_made",  # list: data units in the order in which they were made
    "replicas",  # hash: data unit → its replicas
    "asked",  # set: replicas that somebody should make
    "producers",  # hash: data unit → number of units that are still to add files to it
    "spoilt",  # hash: data unit → first of these units that ended otherwise than well
    "events",  # stream: one entry per script that changed states
)
"""Names of the keys that exist once per session."""

PER_PILOT = ("pilot", "held", "claim", "door", "control")
"""Names of the keys that exist per pilot, each followed by ``:<pilot>``."""

PER_DATA_UNIT = ("files",)
"""Names of the keys that exist per data unit, each followed by ``:<data unit>``: a hash of path → size and sealed record."""

PER_OWNER = ("ready", "hungry")
"""Names of the keys that exist per owner of queues, each followed by ``:<owner>``; queues are listed in ``ready``."""


class Keys:
    """The keys of one session.

    Args:
        session: The session's id.
    """

    def __init__(self, session: str) -> None:
        self.session = session
        self.prefix = f"pilot:{MAJOR}:{{{session}}}:"

    def named(self, name: str) -> str:
        """Return the key ``name``, one of :data:`SINGLE` or ``<per>:<id>``."""
        return self.prefix + name

    def pilot(self, pilot: str) -> str:
        """Return the key of a pilot's record."""
        return f"{self.prefix}pilot:{pilot}"

    def files(self, data_unit: str) -> str:
        """Return the key of a data unit's files."""
        return f"{self.prefix}files:{data_unit}"

    def door(self, pilot: str) -> str:
        """Return the key of a pilot's doorbell, a list to block on."""
        return f"{self.prefix}door:{pilot}"


def queue_name(owner: str, label: str, shape: str, priority: int) -> str:
    """Return the name of the queue for units of one owner, affinity, shape and priority.

    Args:
        owner: A pilot (direct submission) or a compute-data service.
        label: As :func:`label_of` made it.
        shape: As :func:`shape_of` made it.
        priority: Larger goes first.
    """
    return f"{owner}/{label}/{shape}/{priority}"


def label_of(datacenter: str = "", machine: str = "") -> str:
    """Return the affinity part of a queue's name; ``,`` when a unit has no wish."""
    return f"{quote(datacenter, safe='')},{quote(machine, safe='')}"


def shape_of(cores: int, block: int, gpus: int = 0, memory_mb: int = 0) -> str:
    """Return the shape part of a queue's name.

    Args:
        cores: Cores of the whole unit.
        block: Cores that must be on one node: all of a single unit's, one rank's of an MPI unit's.
        gpus: GPUs of the whole unit.
        memory_mb: Memory per node, MB.
    """
    return f"{cores}.{block}.{gpus}.{memory_mb}"
