"""Limits of Linux control groups, version 1 and 2: the strictest one from this process's group up to the root."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_UNLIMITED = 2**60
"""Version 1 says a number of this size when memory is not limited."""


@dataclass(frozen=True)
class Limits:
    """What a process may have; None: no limit."""

    cores: int | None = None
    """Whole cores' worth of time, at least 1."""
    memory_mb: int | None = None


NO_LIMITS = Limits()


@dataclass(frozen=True)
class _Hierarchy:
    """Where one tree of groups is mounted, and which part of it."""

    mounted: PurePosixPath
    root: PurePosixPath


def read_limits(root: Path) -> Limits:
    """Return the limits of this process.

    Args:
        root: The root of the file system.
    """
    mounts = _mounts(_text(root / "proc/self/mountinfo"))
    groups = _groups(_text(root / "proc/self/cgroup"))
    return Limits(
        _strictest(root, mounts, groups, ("cpu", _cores)),
        _strictest(root, mounts, groups, ("memory", _memory_mb)),
    )


def _mounts(mountinfo: str) -> dict[str, _Hierarchy]:
    """Return the trees by controller; that of version 2, which has all controllers, under ""."""
    found: dict[str, _Hierarchy] = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if kind[:1] == ["cgroup2"]:
            found[""] = _Hierarchy(PurePosixPath(fields[4]), PurePosixPath(fields[3]))
        elif kind[:1] == ["cgroup"]:
            tree = _Hierarchy(PurePosixPath(fields[4]), PurePosixPath(fields[3]))
            found.update(dict.fromkeys(kind[-1].split(","), tree))
    return found


def _groups(cgroup: str) -> dict[str, PurePosixPath]:
    """Return this process's groups by controller, from lines ``4:cpu,cpuacct:/a/b``, of version 2 ``0::/a/b``."""
    found: dict[str, PurePosixPath] = {}
    for line in cgroup.splitlines():
        _, controllers, path = line.split(":", 2)
        found.update(dict.fromkeys(controllers.split(","), PurePosixPath(path)))
    return found


def _strictest(
    root: Path,
    mounts: dict[str, _Hierarchy],
    groups: dict[str, PurePosixPath],
    of: tuple[str, Callable[[Path], int | None]],
) -> int | None:
    controller, read = of
    names = [name for name in (controller, "") if name in mounts and name in groups]
    folders = (folder for name in names for folder in _folders(mounts[name], groups[name]))
    limits = (read(root / folder.relative_to("/")) for folder in folders)
    return min((limit for limit in limits if limit is not None), default=None)


def _folders(tree: _Hierarchy, group: PurePosixPath) -> Iterator[PurePosixPath]:
    """Yield the folders of a group and of those above it, as far as they are mounted here."""
    try:
        inside = group.relative_to(tree.root)
    except ValueError:  # a container shows its own group as the root
        inside = PurePosixPath()
    if ".." in inside.parts:
        inside = PurePosixPath()
    folder = tree.mounted / inside
    yield folder
    yield from (above for above in folder.parents if above.is_relative_to(tree.mounted))


def _cores(folder: Path) -> int | None:
    quota, period = _quota(folder)
    if not (quota.isdigit() and period.isdigit() and int(period)):
        return None  # "max", "-1", or no such file
    return max(int(quota) // int(period), 1)


def _quota(folder: Path) -> tuple[str, str]:
    second = _text(folder / "cpu.max").split()
    if len(second) == 2:
        return second[0], second[1]
    return _text(folder / "cpu.cfs_quota_us").strip(), _text(folder / "cpu.cfs_period_us").strip()


def _memory_mb(folder: Path) -> int | None:
    said = (_text(folder / "memory.max") or _text(folder / "memory.limit_in_bytes")).strip()
    if not said.isdigit() or int(said) >= _UNLIMITED:
        return None
    return max(int(said) // 1024**2, 1)


def _text(path: Path) -> str:
    """Return a file's content, empty when there is none: kernels differ in what they offer."""
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
