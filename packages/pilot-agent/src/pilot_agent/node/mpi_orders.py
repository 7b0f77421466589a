"""What an order says about the ranks of an MPI unit, and its validation."""

from __future__ import annotations

from typing import Any, NamedTuple


class Rank(NamedTuple):
    """Where one rank lies."""

    host: str
    """As the batch system calls it."""
    cores: str
    """CPU numbers of that host, like ``0-3,8``."""
    gpus: str
    """Names of its GPUs, like ``0,1``; "" for none."""


class MpiOrder(NamedTuple):
    """The ranks of one MPI unit and what starts them."""

    ranks: tuple[Rank, ...]
    """By their numbers; those of a host follow one another, and the first host is this executor's."""
    pinned: bool = False
    """Whether each rank may run on its cores only."""
    launcher: str = ""
    """Name of a family of launchers; "" for the first one that is found."""
    srun_type: str = ""
    """What ``srun --mpi`` is told; "" leaves it to the site."""

    @property
    def hosts(self) -> list[str]:
        """The hosts, each once, in the order of their ranks."""
        return list(dict.fromkeys(rank.host for rank in self.ranks))


_TYPES = (("ranks", list), ("pinned", bool), ("launcher", str), ("srun_type", str))


def parse_mpi(value: Any) -> MpiOrder | None:
    """Return what `value`, a decoded JSON object, says; None for a unit that is not MPI's.

    Raises:
        ValueError: It cannot be understood.
    """
    if value is None:
        return None
    if type(value) is not dict:
        raise ValueError(f"mpi of an order must be an object, got {value!r:.80}")
    fields = {**MpiOrder((), False)._asdict(), "ranks": [], **value}
    for name, kind in _TYPES:
        if type(fields[name]) is not kind:
            raise ValueError(f"{name} of an order's mpi must be {kind.__name__}, got {fields[name]!r:.80}")
    ranks = tuple(map(_rank, fields["ranks"]))
    if not ranks:
        raise ValueError("mpi of an order needs at least one rank")
    return MpiOrder(ranks, fields["pinned"], fields["launcher"], fields["srun_type"])


def _rank(value: Any) -> Rank:
    if not isinstance(value, list) or len(value) != 3 or not all(type(text) is str for text in value):
        raise ValueError(f"a rank is a list of host, cores and gpus, got {value!r:.80}")
    rank = Rank(*value)
    # The two go into a shell script as they are.
    if not rank.host or not rank.cores or any(c not in "0123456789,-" for c in rank.cores):
        raise ValueError(f"a rank needs a host and numbers of cores, got {value!r:.80}")
    if any(not (c.isalnum() or c in ",-_./:") for c in rank.gpus):
        raise ValueError(f"{rank.gpus!r:.80} names no GPUs")
    return rank
