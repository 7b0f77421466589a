"""What is said to a target's shell to stage a pilot, and what is read from its answers. Pure.

A bare target will do: a POSIX shell and the core utilities. The invariant: secrets are never part of what is returned here
as a command line; they are read from standard input.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .target_paths import shell_word, variables_in

SANDBOX_KIB = 1024
"""Room that a sandbox needs at least: for settings, logs and the journal of the first units."""

_MARK = "pilot-staging: "
_FACT = re.compile(rf"^{_MARK}(\w+) ?(.*)$", re.MULTILINE)
_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))

_BROKEN_OFF = "the upload was cut off"


@dataclass(frozen=True)
class Delivery:
    """One upload: what goes in through standard input, in this order.

    Attributes:
        settings: Of the agent.
        script: The job.
        bundle: The agent; empty when the target has it.
    """

    settings: bytes
    script: bytes
    bundle: bytes = b""

    @property
    def data(self) -> bytes:
        """The standard input of :func:`delivery_command`."""
        return self.settings + self.script + self.bundle


@dataclass(frozen=True)
class Target:
    """Where things go, as absolute paths.

    Attributes:
        sandbox: The pilot's folder.
        settings: File for the settings.
        script: File for the job script.
        bundle: File for the bundle.
        beside: File beside it, for this upload alone.
        tool: Command that makes a checksum of its standard input.
        checksum: What it makes of the bundle.
    """

    sandbox: str
    settings: str
    script: str
    bundle: str
    beside: str
    tool: str
    checksum: str


def checksums(data: bytes) -> dict[str, str]:
    """Return tools for checksums, best first, with what they make of some bytes. The last one is on every POSIX system."""
    sha256 = hashlib.sha256(data).hexdigest()
    return {
        "sha256sum": sha256,
        "shasum -a 256": sha256,
        "openssl dgst -sha256": sha256,
        "cksum": f"{_posix_crc(data)} {len(data)}",
    }


def prepare_program(
    pilot: str, folder: str, bundle: str, sums: Mapping[str, str], size: int, unused_days: int
) -> str:
    """Return the program for ``/bin/sh`` that prepares a target; its answer is read by :func:`facts_in`.

    Args:
        pilot: Its id.
        folder: The working directory of the description, expanded there.
        bundle: The name of the bundle.
        sums: Its checksums, by tool.
        size: Of the bundle, in bytes.
        unused_days: Bundles that were not used for so long are removed.
    """
    needed = [f'[ -n "${{{name}:+set}}" ] || {_failed(f"variable {name}")}' for name in variables_in(folder)]
    given = {
        "pilot": pilot,
        "bundle": bundle,
        "need_kib": str(size // 1024 + 64),
        "sandbox_kib": str(SANDBOX_KIB),
        "unused_days": str(unused_days),
    }
    pairs = " ".join(shlex.quote(word) for pair in sums.items() for word in pair)
    # First: the folder may name variables that are called like those of the program.
    return "\n".join(
        [*needed, f"work={shell_word(folder)}", *_assignments(given), f"set -- {pairs}", _text("prepare")]
    )


def delivery_command(target: Target, delivery: Delivery) -> str:
    """Return the command line that puts files in place; what they hold is its standard input."""
    steps = [
        "LC_ALL=C",
        "export LC_ALL",
        "umask 077",
        *_received(target.settings, len(delivery.settings)),
        *_received(target.script, len(delivery.script)),
        f"chmod 700 {shlex.quote(target.script)} || {_failed('files')}",
    ]
    if delivery.bundle:
        steps += _bundle_received(target)
    return "; ".join(steps)


def _received(path: str, size: int) -> list[str]:
    """Return steps that read so many bytes, and not one more, into a file. Only `dd` with blocks of one byte does so."""
    file = shlex.quote(path)
    return [
        f"dd bs=1 count={size} of={file} || {_failed('files')}",
        f"[ $(wc -c <{file}) -eq {size} ] || {_failed(f'files {_BROKEN_OFF}')}",
    ]


def _bundle_received(target: Target) -> list[str]:
    beside, bundle = shlex.quote(target.beside), shlex.quote(target.bundle)
    right = f"case $({target.tool} <{beside}) in *{shlex.quote(target.checksum)}*) ;; "
    return [
        f"trap {shlex.quote(f'rm -f {beside}')} EXIT",
        "trap 'exit 1' HUP INT TERM",
        f"cat >{beside} || {_failed('bundle')}",
        f"{right}*) {_failed(f'bundle {_BROKEN_OFF}')} ;; esac",
        f"chmod 700 {beside} && mv -f {beside} {bundle} || {_failed('bundle')}",
    ]


def unstage_program(sandbox: str, settings: str, script: str, logs: list[str]) -> str:
    """Return the program for ``/bin/sh`` that removes the secrets, and a sandbox that holds nothing of value.

    Args:
        sandbox: The pilot's folder.
        settings: Name of the settings in it.
        script: Name of the job script in it.
        logs: Names of files in it that mean nothing when they are empty.
    """
    given = {"sandbox": sandbox, "settings": settings, "script": script}
    return "\n".join([*_assignments(given), f"set -- {' '.join(map(shlex.quote, logs))}", _text("unstage")])


def facts_in(answer: str) -> dict[str, str]:
    """Return what a program told, by fact; what greetings of a login shell said is passed over."""
    return dict(_FACT.findall(answer))


def _failed(what: str) -> str:
    return f"{{ echo {shlex.quote(f'{_MARK}failed {what}')}; exit 1; }}"


def _assignments(given: Mapping[str, str]) -> list[str]:
    return [f"{name}={shlex.quote(value)}" for name, value in given.items()]


@cache
def _text(name: str) -> str:
    return Path(__file__).with_name("shell").joinpath(f"{name}.sh").read_text("utf-8")


def _posix_crc(data: bytes) -> int:
    """Return what ``cksum`` prints first. It is zlib's checksum with the bits of each byte and of the whole turned round."""
    size = len(data)
    length = size.to_bytes((size.bit_length() + 7) // 8, "little")
    turned = zlib.crc32((data + length).translate(_REVERSED_BITS), 0xFFFFFFFF)
    return int(f"{turned:032b}"[::-1], 2)
