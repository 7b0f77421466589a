"""From an order to a running process, in two steps.

`prepare` decides what to execute, where and with which environment; it needs nothing but the order, so chained orders
are prepared while they wait, many in a row. `start` does what has to be done for one unit when its cores are known.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from pilot_agent.core_ranges import core_ranges
from pilot_agent.expansion import expand, expand_path, extend_environment
from pilot_agent.launch.rank_script import ANY_RANK, RANK
from pilot_agent.launch.single import unit_argv
from pilot_agent.node.lanes import Lane, LanePool
from pilot_agent.node.mpi_orders import MpiOrder
from pilot_agent.node.orders import Order
from pilot_agent.spawn.markers import ATTEMPT, SANDBOX
from pilot_agent.spawn.process import Affinity, Program, spawn
from pilot_agent.spawn.process_tree import MARKER
from pilot_agent.spawn.sandbox import Streams, enter, make_own_folder, open_input, open_output
from pilot_agent.spawn.search import ProgramSearch

if TYPE_CHECKING:
    from pilot_agent.node.mpi import MpiStarter

_CORES = "PILOT_UNIT_CORES"


class Place(NamedTuple):
    """Where a unit runs and where its standard streams go; absolute paths, "" for what the lane provides."""

    folder: str
    stdin: str
    stdout: str
    stderr: str

    @property
    def needs_lane(self) -> bool:
        """Whether a lane has to provide the folder or an output file."""
        return not (self.folder and self.stdout and self.stderr)


_LANE_ONLY = Place("", "", "", "")


class Launch(NamedTuple):
    """An order, and what follows from it."""

    order: Order
    environment: dict[str, str]
    place: Place
    argv: list[str]
    mentions_cores: bool
    """Whether some text of the order says PILOT_UNIT_CORES, so that it cannot be expanded before these are known."""
    launch_folder: str = ""
    """Folder with what the ranks of an MPI unit run; "" for any other unit, and until it is started."""


class Running:
    """A unit whose process was started and not yet reaped."""

    __slots__ = ("again", "cores", "lane", "launch", "order", "pid", "place", "signaled", "started_s")

    def __init__(self, launch: Launch, cores: list[int], lane: Lane | None, started_s: float) -> None:
        self.launch = launch
        self.order = launch.order
        self.place = launch.place
        self.cores = cores
        self.lane = lane
        self.started_s = started_s
        self.pid = 0
        self.signaled = False
        self.again = False
        """Whether its launcher was started a second time."""

    @property
    def launch_folder(self) -> str:
        """Folder with what the ranks of an MPI unit run; "" for any other unit."""
        return self.launch.launch_folder


class Starter:
    """Starts units; keeps what is the same for all of them."""

    def __init__(self, sandbox: str, lanes: LanePool, environment: Mapping[str, str]) -> None:
        """Prepare to start units.

        Args:
            sandbox: the pilot's folder, from which relative working directories count.
            lanes: working folders and output files for units that name none.
            environment: what every unit's environment is built on.
        """
        self._sandbox = sandbox
        self._lanes = lanes
        self._environment = dict(environment)
        self._affinity = Affinity()
        self._search = ProgramSearch()
        self._mpi: MpiStarter | None = None
        self._null = os.open("/dev/null", os.O_RDONLY)

    def prepare(self, order: Order, cores: Sequence[int] | None = None) -> Launch:
        """Return what starting `order` means, for these `cores` when they are known already."""
        environment = self._unit_environment(order, cores)
        place = self._place(order, environment)
        executable, arguments = order.exe, order.args
        if order.expand:
            executable = expand_path(executable, environment)
            arguments = [
                expand(argument, environment) if "$" in argument else argument for argument in arguments
            ]
        # Of an MPI unit the ranks run `pre_exec`, and `post_exec` comes after all of them.
        argv = (
            [executable, *arguments] if order.mpi else unit_argv(executable, arguments, order.pre, order.post)
        )
        return Launch(order, environment, place, argv, cores is None and _mentions(order, _CORES))

    def start(self, launch: Launch, cores: list[int], now_s: float) -> Running:
        """Start the unit of `launch` on `cores` at `now_s`, the node's time.

        Raises:
            StartError: something about the order makes that impossible; nothing of it is left running.
        """
        if launch.mentions_cores:
            launch = self.prepare(launch.order, cores)
        launch.environment[_CORES] = core_ranges(cores)
        if launch.order.mpi:
            launch = self._launch_ranks(launch, launch.order.mpi)
        unit = Running(launch, cores, self._lanes.take() if launch.place.needs_lane else None, now_s)
        try:
            self._begin(unit)
        except BaseException:
            if unit.lane:
                self._lanes.give_back(unit.lane)
            raise
        return unit

    def start_again(self, unit: Running) -> None:
        """Start the launcher of an MPI unit a second time, with the same files and on the same cores.

        Raises:
            StartError: that is not possible any more.
        """
        unit.again = True
        self._begin(unit)

    def _begin(self, unit: Running) -> None:
        self._enter(unit)
        # A launcher hands its own restriction on to the ranks; each binds itself.
        self._affinity.set(unit.cores if unit.order.pin and not unit.order.mpi else None)
        unit.pid = self._spawn(unit)

    def _launch_ranks(self, launch: Launch, mpi: MpiOrder) -> Launch:
        """Return the start of the launcher for that of a rank.

        Raises:
            StartError: It cannot be started.
        """
        from pilot_agent.node.mpi import MpiStarter, Work  # noqa: PLC0415 - most executors start no MPI unit

        self._mpi = self._mpi or MpiStarter(self._search)
        folder, stdin, stdout, stderr = launch.place
        if not launch.order.pre and "/" not in launch.argv[0]:
            self._search.find(launch.argv[0], launch.environment.get("PATH", os.defpath))
        if stdin:
            os.close(open_input(stdin))  # rank 0 opens it for itself
        own = [name if ANY_RANK in name else "" for name in (stdout, stderr)]
        work = Work(launch.argv, folder, stdin, *own)
        start = self._mpi.prepare(launch.order, mpi, work, launch.environment)
        shared = ["" if ANY_RANK in name else name for name in (stdout, stderr)]
        return launch._replace(
            argv=start.argv,
            environment=start.environment,
            place=Place(folder, "", *shared),
            launch_folder=start.launch_folder,
        )

    def _unit_environment(self, order: Order, cores: Sequence[int] | None) -> dict[str, str]:
        """Build the unit's environment; what it says about the unit can be used, but not changed, by the order."""
        own = {SANDBOX: self._sandbox, MARKER: order.id, ATTEMPT: str(order.attempt)}
        if cores is not None:
            own[_CORES] = core_ranges(cores)
        if order.mpi:
            own[RANK] = ANY_RANK
        environment = extend_environment({**self._environment, **own}, order.env)
        environment.update(own)
        return environment

    def _place(self, order: Order, environment: Mapping[str, str]) -> Place:
        written = (order.cwd, order.stdin, order.stdout, order.stderr)
        if not any(written) and not order.mpi and not order.folder:
            return _LANE_ONLY
        folder, *names = _expanded(written, environment) if order.expand else written
        if order.folder:
            folder = order.folder
        elif folder:
            folder = os.path.join(self._sandbox, folder)
        elif any(name and not name.startswith("/") for name in names):
            folder = order.sandbox
        if order.mpi:
            folder = folder or order.sandbox
        return Place(folder, *[name and os.path.normpath(os.path.join(folder, name)) for name in names])

    def _enter(self, unit: Running) -> None:
        folder = unit.place.folder
        if folder == unit.order.sandbox:
            make_own_folder(folder)
        if not folder and unit.lane:
            folder = unit.lane.work
        enter(folder)

    def _spawn(self, unit: Running) -> int:
        launch = unit.launch
        opened: list[int] = []
        try:
            streams = self._streams(unit, opened)
            path = self._search.find(launch.argv[0], launch.environment.get("PATH", os.defpath))
            return spawn(Program(path, launch.argv, launch.environment), streams)
        finally:
            for fd in opened:
                os.close(fd)

    def _streams(self, unit: Running, opened: list[int]) -> Streams:
        """Open the files the unit names, adding them to `opened`; what it does not name comes from its lane."""
        _, stdin, stdout, stderr = unit.place
        shared = bool(stdout) and stdout == stderr
        fds = [self._null, -1, -1]
        if unit.lane:
            fds[1:] = unit.lane.stdout.fd, unit.lane.stderr.fd
        if stdin:
            opened.append(open_input(stdin))
            fds[0] = opened[-1]
        if stdout:
            opened.append(open_output(stdout, "standard output", shared=shared))
            fds[1] = opened[-1]
        if stderr:
            if not shared:
                opened.append(open_output(stderr, "standard error"))
            fds[2] = opened[-1]
        return Streams(*fds)


def _expanded(names: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    return [expand_path(name, environment) if name else name for name in names]


def _mentions(order: Order, name: str) -> bool:
    texts = (order.exe, order.cwd, order.stdin, order.stdout, order.stderr, *order.args, *order.env.values())
    return name in "\n".join(texts)
