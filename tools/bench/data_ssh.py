"""Files to and from a host by SSH: pilot-data against OpenSSH's sftp and rsync, in turn, on the same server.

    python tools/bench/data_ssh.py [--rounds 3] [--large-mb 1024] [--small 2000] [--far-small 200] [--far-ms 40]

The server is an sshd of its own on the loopback interface; files lie in /dev/shm. All use aes128-gcm@openssh.com, keep modes
and times, and begin without a connection. pilot-data runs in a process of its own for each figure, and verifies the
content at the target by SHA-256, which the others do not. A ratio is the peer's time by that of pilot-data in the same round.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [
    str(ROOT / path) for path in ("packages/pilot-data/tests", "integration", "integration/clusters")
]

from ports import free_port  # noqa: E402 - found by the line above
from ssh_hosts import SshHost, running_host  # noqa: E402

CIPHER = "aes128-gcm@openssh.com"
OURS = ("pilot-data", "pilot-data by OpenSSH")
"""By the client that is built in, and by the program ssh."""

_MOVE = """
import os, resource, sys, time
from pilot_data.entries import Item
from pilot_data.job import Job
from pilot_data.locations import parse
from pilot_data.registry import open_storage
from pilot_data.storage import Access
way, here, there, client = sys.argv[1:]
local, remote = open_storage(parse(here)), open_storage(parse(there), Access(ssh_client=client))
begin = time.perf_counter()
source = local if way == "put" else remote
items = [Item(entry, entry.path) for entry in source.list()]
outcomes = remote.put_many(here, items, Job()) if way == "put" else remote.get_many(items, here, Job())
errors = [outcome.error for outcome in outcomes if outcome.error]
remote.close()
assert not errors, errors
print(time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@dataclass(frozen=True)
class Place:
    """Where is measured.

    Attributes:
        config: The clients' configuration of OpenSSH.
        host: Its name there.
        folder: For files, on both sides.
    """

    config: Path
    host: str
    folder: Path


@dataclass(frozen=True)
class Figure:
    """How long it took, and the most memory in MB; 0 where it was not measured."""

    seconds: float
    memory_mb: float = 0.0


Mover = Callable[[Place, str, Path, Path], Figure]


def by_pilot(client: str, place: Place, way: str, here: Path, there: Path) -> Figure:
    """Move a folder's content by pilot-data."""
    shown = subprocess.run(
        [sys.executable, "-c", _MOVE, way, str(here), f"ssh://{place.host}{there}", client],
        env={**os.environ, "PILOT_SSH_CONFIG": str(place.config)},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, memory_mb = map(float, shown.stdout.split())
    return Figure(seconds, memory_mb)


def by_sftp(place: Place, way: str, here: Path, there: Path) -> Figure:
    """Move a folder's content by OpenSSH's sftp."""
    batch = f"mkdir {there}\nput -rp {here}/. {there}/\n" if way == "put" else f"get -rp {there}/. {here}/\n"
    return _timed(["sftp", "-q", "-F", place.config, "-c", CIPHER, "-b", "-", place.host], batch)


def by_rsync(place: Place, way: str, here: Path, there: Path) -> Figure:
    """Move a folder's content by rsync."""
    remote = f"{place.host}:{there}/"
    source, target = (f"{here}/", remote) if way == "put" else (remote, f"{here}/")
    return _timed(
        ["rsync", "-a", "--whole-file", "-e", f"ssh -F {place.config} -c {CIPHER}", source, target], ""
    )


MOVERS: dict[str, Mover] = {
    OURS[0]: partial(by_pilot, "builtin"),
    OURS[1]: partial(by_pilot, "openssh"),
    "sftp": by_sftp,
    "rsync": by_rsync,
}


def _timed(command: list[str | Path], text: str) -> Figure:
    begin = time.perf_counter()
    subprocess.run(command, input=text, text=True, check=True, stdout=subprocess.DEVNULL)
    return Figure(time.perf_counter() - begin)


def make_files(folder: Path, count: int, size: int) -> None:
    """Write files of random content."""
    folder.mkdir()
    for number in range(count):
        with open(folder / f"{number:06}.dat", "wb") as file:
            file.writelines(os.urandom(min(1 << 20, size - start)) for start in range(0, size, 1 << 20))


def measure(title: str, place: Place, source: Path, rounds: int) -> None:
    """Print what each mover takes for a folder, there and back."""
    for way in ("put", "get"):
        figures: dict[str, list[Figure]] = {name: [] for name in MOVERS}
        for _ in range(rounds):
            for name, mover in MOVERS.items():
                figures[name].append(_once(place, way, source, mover))
        for name in OURS:
            _print(f"{title} {way}", name, figures)


def _once(place: Place, way: str, source: Path, mover: Mover) -> Figure:
    target = place.folder / "target"
    if way == "put":
        figure = mover(place, way, source, target)
    else:
        target.mkdir()
        figure = mover(place, way, target, source)
    sent, arrived = (sum(file.stat().st_size for file in at.iterdir()) for at in (source, target))
    if sent != arrived:
        raise RuntimeError(f"{arrived} bytes arrived of {sent}")
    shutil.rmtree(target)
    return figure


def _print(title: str, own_name: str, figures: dict[str, list[Figure]]) -> None:
    ours = figures[own_name]
    shown = [f"{own_name} {_seconds(ours)} s, {max(figure.memory_mb for figure in ours):.0f} MB"]
    for name in MOVERS:
        if name not in OURS:
            ratios = [peer.seconds / own.seconds for peer, own in zip(figures[name], ours, strict=True)]
            each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
            shown.append(
                f"{name} {_seconds(figures[name])} s, ratio {statistics.median(ratios):.2f} ({each})"
            )
    print(f"{title}: {'; '.join(shown)}", flush=True)


def _seconds(figures: list[Figure]) -> str:
    return f"{statistics.median(figure.seconds for figure in figures):.2f}"


@contextmanager
def delayed(server: SshHost, folder: Path, round_trip_ms: float) -> Iterator[Place]:
    """Give the same server at a distance."""
    port = free_port()
    relay = Path(__file__).parents[2] / "integration" / "clusters" / "slow_link.py"
    process = subprocess.Popen([sys.executable, relay, str(port), str(server.port), str(round_trip_ms)])
    config = folder / "far_config"
    near = (
        server.config_file.read_text()
        .replace(server.name, "far-host")
        .replace(f"Port {server.port}", f"Port {port}")
    )
    config.write_text(f"{near}HostKeyAlias [127.0.0.1]:{server.port}\n")
    try:
        yield Place(config, "far-host", folder)
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """Print a line for each kind of files and direction."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large-mb", type=int, default=1024)
    parser.add_argument("--small", type=int, default=2000)
    parser.add_argument("--far-small", type=int, default=200)
    parser.add_argument("--far-ms", type=float, default=40.0)
    options = parser.parse_args()
    with running_host() as server, tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        folder = Path(name)
        near = Place(server.config_file, server.name, folder)
        if options.small:
            make_files(folder / "small", options.small, 4096)
            measure(f"{options.small} files of 4 KiB,", near, folder / "small", options.rounds)
        if options.large_mb:
            make_files(folder / "large", 1, options.large_mb << 20)
            measure(f"1 file of {options.large_mb} MiB,", near, folder / "large", options.rounds)
        if options.far_small:
            make_files(folder / "few", options.far_small, 4096)
            with delayed(server, folder, options.far_ms) as far:
                measure(
                    f"{options.far_small} files of 4 KiB at {options.far_ms:g} ms,", far, folder / "few", 1
                )


if __name__ == "__main__":
    main()
