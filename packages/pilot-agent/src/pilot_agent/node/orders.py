"""What the head orders and what the executor reports of a unit: the records inside the frames, and their validation.

An order is checked once, where it comes in; everything behind this module trusts its types.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypedDict

from pilot_agent.node.mpi_orders import MpiOrder, parse_mpi


class Order(NamedTuple):
    """One unit to start, as the head sends it. Its texts are not expanded yet."""

    id: str
    attempt: int
    exe: str
    args: list[str]
    env: dict[str, str]
    """What the unit's environment has beyond the executor's own."""
    cwd: str
    """Working directory, relative to the pilot's sandbox unless absolute; "" leaves the choice to the executor."""
    stdin: str
    stdout: str
    stderr: str
    pre: list[str]
    post: list[str]
    expand: bool
    cores: list[int] | None
    """Core numbers on this node; None for a chained order, which inherits those of a unit that ends."""
    width: int
    """Number of cores."""
    pin: bool
    """Whether the unit may run on its cores only."""
    sandbox: str
    """Absolute path of the unit's own folder, made only when something needs it."""
    alone: bool
    """Whether no chained order may start on its cores when it ends: they are the head's to give."""
    mpi: MpiOrder | None
    """The ranks of an MPI unit; None for any other."""
    folder: str
    """Absolute path of the folder it runs in, whatever `cwd` says: there its data is moved in and out; "" without data."""
    deliver: dict[str, Any]
    """What is to be moved out of there when it has ended, for its END; empty for nothing."""


class _Delivery(TypedDict, total=False):
    deliver: dict[str, Any]
    """What is to be moved out before the end is reported; missing where nothing is."""


class EndRecord(_Delivery):
    """How a unit ended: END of the frames and of the journal."""

    code: int | None
    signal: int | None
    reason: str
    message: str
    t0: float
    t1: float
    user: float
    system: float
    rss_kb: int
    cwd: str
    out: str | None
    err: str
    out_file: str
    err_file: str


class OrderError(ValueError):
    """An order that cannot be understood.

    `unit` and `attempt` name whom it was for; "" and 0 where not even that is clear.
    """

    def __init__(self, message: str, unit: str = "", attempt: int = 0) -> None:
        super().__init__(message)
        self.unit = unit
        self.attempt = attempt


_DEFAULTS: dict[str, Any] = {
    "args": [],
    "env": {},
    "cwd": "",
    "stdin": "",
    "stdout": "",
    "stderr": "",
    "pre": [],
    "post": [],
    "expand": True,
    "cores": None,
    "width": 1,
    "pin": False,
    "alone": False,
    "mpi": None,
    "folder": "",
    "deliver": {},
}
_TYPES = (
    *((name, str) for name in ("id", "exe", "cwd", "stdin", "stdout", "stderr", "sandbox", "folder")),
    *((name, list) for name in ("args", "pre", "post")),
    *((name, int) for name in ("attempt", "width")),
    *((name, bool) for name in ("expand", "pin", "alone")),
    ("env", dict),
    ("deliver", dict),
)
"""Required type of each key, compared exactly, since a bool is also an int."""


def parse_order(value: object) -> Order:
    """Return the order that `value`, a decoded JSON object, stands for. Unknown keys are left out.

    Raises:
        OrderError: a key is missing, or its value is not what it must be.
    """
    if not isinstance(value, dict):
        raise OrderError(f"an order must be an object, got {value!r:.80}")
    fields = {**_DEFAULTS, **value}
    try:
        _check(fields)
        fields["mpi"] = parse_mpi(fields["mpi"])
    except (KeyError, ValueError) as error:
        message = f"order lacks the key {error}" if isinstance(error, KeyError) else str(error)
        raise OrderError(message, *_whose(value)) from None
    return Order._make(map(fields.__getitem__, Order._fields))


def _check(fields: dict[str, Any]) -> None:
    for name, kind in _TYPES:
        if type(fields[name]) is not kind:
            raise ValueError(f"{name} of an order must be {kind.__name__}, got {fields[name]!r:.80}")
    texts = [*fields["args"], *fields["env"].values(), *fields["pre"], *fields["post"]]
    for text in texts:
        if type(text) is not str:
            raise ValueError(
                f"arguments, environment, pre and post of an order must be texts, got {text!r:.80}"
            )
    if not fields["exe"] or not fields["id"] or not fields["sandbox"].startswith("/"):
        raise ValueError("an order needs an id, an executable, and a sandbox with an absolute path")
    _check_cores(fields["cores"], fields["width"])


def _check_cores(cores: Any, width: int) -> None:
    if width < 1:
        raise ValueError(f"width of an order must be at least 1, got {width}")
    if cores is not None and not are_cores(cores):
        raise ValueError(f"cores of an order must be a list of core numbers or null, got {cores!r:.80}")


def are_cores(value: object) -> bool:
    """Whether `value` is a list of core numbers that is not empty."""
    return isinstance(value, list) and bool(value) and all(type(core) is int and core >= 0 for core in value)


def _whose(value: dict[str, Any]) -> tuple[str, int]:
    unit, attempt = value.get("id"), value.get("attempt")
    return (unit if isinstance(unit, str) else "", attempt if type(attempt) is int else 0)


def never_ran(reason: str, message: str, now: float) -> EndRecord:
    """Return the end of a unit that was not started; `reason` is start, disk_full or rejected."""
    return EndRecord(
        code=None,
        signal=None,
        reason=reason,
        message=message,
        t0=now,
        t1=now,
        user=0.0,
        system=0.0,
        rss_kb=0,
        cwd="",
        out="",
        err="",
        out_file="",
        err_file="",
    )
