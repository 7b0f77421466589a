"""Makes replicas that are asked for, by this process or by others, in the background.

What is asked for is in the catalogue, and everybody who serves looks there: this process is one of them. A lease keeps two
from making the same replica. Who ends before a replica is made hands its lease back; who is killed loses it after a while. What
others have asked for and this process cannot reach, it hands back, too: only who asks is told that it is Failed.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count

from pilot_protocol.errors import CoordinationError

from .catalogue import Catalogue, DataUnitRecord
from .choosing import Business, Chooser, Scope, Task
from .endpoints import Endpoints
from .job import untold
from .lease_watch import Replica
from .making import Maker
from .origins import Lot
from .retry import LONGEST_PAUSE_S, pauses
from .staging_listener import StagingListener
from .ways import Here

logger = logging.getLogger(__name__)


class Stager:
    """The replicas that this process makes.

    Args:
        catalogue: Knows all replicas.
        owner: How the leases of this process begin; each replica that it makes has one of its own.
        here: This machine.
        endpoints: Bound what is made at once, and how fast; by default a few at once, as fast as they can be.
        listener: Is told of what is made.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        owner: str,
        *,
        here: Here | None = None,
        endpoints: Endpoints | None = None,
        listener: StagingListener | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._endpoints = endpoints or Endpoints()
        self._listener = listener or StagingListener()
        self._chooser = Chooser(catalogue, here or Here.of(catalogue), self._endpoints, self._listener)
        self._maker = Maker(catalogue, self._listener, self._is_own)
        self._owner = owner
        self._numbers = count(1)
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._own: set[Replica] = set()
        self._busy: set[Replica] = set()
        self._scopes: list[Scope] = []
        self._is_new = True
        self._ends = False
        self._found: list[Task] = []

    # --- what is to be made -----------------------------------------------------------------------------------------

    def ask(self, data_unit: str, stores: Sequence[str], lots: Sequence[Lot] | None = None) -> None:
        """Ask for replicas, and make them unless somebody else does.

        Args:
            data_unit: Of which replicas are wanted.
            stores: The Pilot-Data that they are to be at.
            lots: Where the files come from, if that has been looked up just now.

        Raises:
            StateError: The catalogue has no such data unit.
        """
        if not stores:
            return
        if lots is not None:
            self._maker.know(data_unit, lots)
        for store in stores:
            self._catalogue.ask(data_unit, store)
        with self._changed:  # only now: what is own and not asked for any more is forgotten
            self._own.update((data_unit, store) for store in stores)
        self._begin()

    def serve(self, scope: Scope, *, at_once: bool = True) -> None:
        """Make what others ask for as well, and finish what others have begun and do not go on with.

        Args:
            scope: At which Pilot-Data.
            at_once: Whether to begin with it now; otherwise when something else is to be made.
        """
        with self._changed:
            self._is_new = True
            if scope not in self._scopes:
                self._scopes.append(scope)
        if at_once:
            self._begin()

    def add(
        self, data_unit: str, store: str, lots: Sequence[Lot], on_bytes: Callable[[int], None] = untold
    ) -> None:
        """Bring further files to a replica that is Done, and return when they are there.

        Args:
            data_unit: Its id.
            store: The Pilot-Data that has the replica.
            lots: Where the files come from.
            on_bytes: Told the number of bytes that have moved since it was last told.

        Raises:
            TransferError: They are not there, and the replica is as it was.
            StateError: The data unit or the Pilot-Data has ended.
        """
        self._maker.add((data_unit, store), self._new_name(), lots, on_bytes)

    def is_awaited(self, unit: DataUnitRecord, pilot_data: str = "") -> bool:
        """Return whether a replica is still to come that this process has asked for.

        Args:
            unit: Of which replicas are meant.
            pilot_data: The one at this Pilot-Data; by default all.
        """
        with self._changed:
            names = {store for name, store in self._own if name == unit.id and pilot_data in {"", store}}
        return any(replica.is_in_work for name, replica in unit.replicas.items() if name in names)

    # --- ending -----------------------------------------------------------------------------------------------------

    def close(self, *, cancel: bool = False) -> None:
        """End. What others have asked for is handed back, to be made by others.

        Args:
            cancel: Whether what this process has asked for is canceled; by default it is made first, if it can be made here.
        """
        with self._changed:
            self._ends = True
            self._scopes = []
            self._changed.notify_all()
            thread, self._thread = self._thread, None
        self._maker.end(cancel=cancel)
        self._catalogue.wake()
        if thread is not None:
            atexit.unregister(self.close)
            thread.join()
        with self._changed:
            self._changed.wait_for(lambda: not self._busy)
            own = set(self._own)
        for replica in own if cancel else ():
            self._maker.give_up(replica, self._new_name())

    def _begin(self) -> None:
        """Start to look for what is to be made, or look at once."""
        with self._changed:
            if self._thread is None and not self._ends:
                self._thread = threading.Thread(target=self._run, name="stager", daemon=True)
                self._thread.start()
                atexit.register(self.close)
                return
        self._catalogue.wake()

    # --- the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        """Start what can be made, until the end; the boundary that keeps on when the catalogue is away."""
        waits = pauses()
        while True:
            try:
                if self._turn():
                    return
                waits = pauses()
            except CoordinationError as error:
                logger.error("serving.interrupted %s", error, extra={"action": "serving.interrupted"})
                if not self._ends:
                    self._listener.troubled(str(error))
                if not error.transient or self._pause(next(waits, None)):
                    return

    def _turn(self) -> bool:
        """Wait until there is something to do, and do it; return whether this is the end."""
        limit_s = self._next_s()
        self._catalogue.wait_for(partial(self._is_to_act, has_limit=limit_s is not None), limit_s)
        found, self._found = self._found, []
        for task in found:
            name = f"stager of {task.replica[0]}"
            threading.Thread(target=self._work, args=(task,), name=name, daemon=True).start()
        with self._changed:
            return self._ends and not self._busy and not found

    def _is_to_act(self, *, has_limit: bool) -> bool:
        """Look, and return whether something was found, or a lease is to be watched from now on, or this is the end."""
        with self._changed:
            business = self._business()
        self._found, asked = self._chooser.choose(business)
        with self._changed:
            self._is_new = self._is_new and not business.is_new
            self._forget(business.own - asked if asked is not None else frozenset())
            self._busy.update(task.replica for task in self._found)
            is_end = self._ends and not self._busy
        return bool(self._found) or is_end or (not has_limit and self._next_s() is not None)

    def _next_s(self) -> float | None:
        """Return in how many seconds something may be made that cannot be now; None when that depends on changes only."""
        found = (self._chooser.next_s(), self._maker.next_s())
        return min((seconds for seconds in found if seconds is not None), default=None)

    def _is_own(self, replica: Replica) -> bool:
        return replica in self._own

    def _forget(self, replicas: frozenset[Replica]) -> None:
        """Forget what this process has asked for and is made by now, or not wanted any more."""
        if replicas:
            self._own -= replicas
            self._maker.keep_known({data_unit for data_unit, _store in self._own})

    def _business(self) -> Business:
        own = frozenset(() if self._maker.is_canceled else self._own)
        return Business(own, frozenset(self._busy), self._maker.unable, tuple(self._scopes), self._is_new)

    def _pause(self, seconds: float | None) -> bool:
        """Wait until the catalogue may be back; return whether this is the end."""
        with self._changed:
            return self._changed.wait_for(lambda: self._ends, LONGEST_PAUSE_S if seconds is None else seconds)

    def _work(self, task: Task) -> None:
        try:
            self._maker.make(task, self._new_name(), self._endpoints.pace(task.way.ends))
        finally:
            self._endpoints.give_back(task.way.ends)
            with self._changed:
                self._busy.discard(task.replica)
                self._changed.notify_all()
            self._catalogue.wake()

    def _new_name(self) -> str:
        """Return a name for one staging: two of this process must not hold the same lease either."""
        return f"{self._owner}-{next(self._numbers)}"
