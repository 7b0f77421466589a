"""Options that several commands have, and what their values mean."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from pilot_data.job import CHECKSUMS, Bandwidth, Job
from pilot_data.storage import Access
from pilot_protocol.data_descriptions import SSH_CLIENTS

Command = TypeVar("Command", bound=Callable[..., Any])

_RATE = re.compile(r"(\d+(?:\.\d+)?)([kKMGT]?)")


@dataclass(frozen=True)
class AccessOptions:
    """How storages are entered, as the options say."""

    source: Access
    target: Access


dry_run_option = click.option("--dry-run", "-n", is_flag=True, help="Say what would be done, and do nothing.")

_ACCESS = {
    "profile": "Profile of ~/.aws/credentials (s3), or name of a login (globus).",
    "endpoint_url": "URL of an S3 service that is not Amazon's.",
    "region": "Region of the bucket.",
    "identity_file": "File of the private key (ssh).",
    "ssh_client": "What carries the connection (ssh); openssh is this machine's own program ssh.",
}
_CHOICES = {"ssh_client": click.Choice(SSH_CLIENTS)}


def place(name: str) -> Callable[[Command], Command]:
    """Add an argument that is a path or URL; shells complete it as names of files."""
    return click.argument(name, shell_complete=_files)


def places(name: str) -> Callable[[Command], Command]:
    """Add an argument that is one or more paths or URLs."""
    return click.argument(
        name, nargs=-1, required=True, metavar=f"{name[:-1].upper()}...", shell_complete=_files
    )


def optional_place(name: str) -> Callable[[Command], Command]:
    """Add an argument that is a path or URL, or left out where another argument has no need of it; see `needed`."""
    return click.argument(name, required=False, shell_complete=_files)


def needed(target: str | None) -> str:
    """Return the target.

    Raises:
        UsageError: It was left out.
    """
    if target is None:
        raise click.UsageError("Missing argument 'TARGET'.", click.get_current_context())
    return target


def access_options(command: Command) -> Command:
    """Add the options that say how storages are entered; `access_of` reads them."""
    for name, text in reversed(_ACCESS.items()):
        command = click.option(_flag(name), type=_CHOICES.get(name), help=text)(command)
    return command


def source_access_options(command: Command) -> Command:
    """Add the options of `access_options`, and those for a source that is entered in another way than the target."""
    for name in reversed(_ACCESS):
        text = f"As {_flag(name)}, for the source only."
        command = click.option(_flag(f"source_{name}"), type=_CHOICES.get(name), help=text)(command)
    return access_options(command)


def access_of(options: dict[str, Any]) -> AccessOptions:
    """Take the options of `access_options` out of all options."""
    common = {name: options.pop(name) or "" for name in _ACCESS}
    source = {name: options.pop(f"source_{name}", None) or common[name] for name in _ACCESS}
    return AccessOptions(_access(source), _access(common))


def job_options(command: Command) -> Command:
    """Add the options that say how files move; `job_of` reads them."""
    for option in reversed(
        (
            click.option("--bandwidth", metavar="RATE", callback=_bandwidth, help="Move at most so many bytes in a second, like 10M."),
            click.option("--checksum", type=click.Choice(CHECKSUMS), default="sha256", show_default=True,
                         help="How to make sure of what has landed; none compares sizes."),
            click.option("--durable", is_flag=True, help="Flush files to the disk before they count as landed."),
            click.option("--keep-partial", "keeps_partial", is_flag=True, help="After Ctrl-C, leave what has arrived of files."),
        )
    ):  # fmt: skip
        command = option(command)
    return command


def job_of(options: dict[str, Any]) -> Job:
    """Take the options of `job_options` out of all options, but for ``keeps_partial``."""
    return Job(options.pop("checksum"), bandwidth=options.pop("bandwidth"), durable=options.pop("durable"))


def output_options(command: Command) -> Command:
    """Add the options that say what is told."""
    command = click.option("--json", "as_json", is_flag=True, help="Write a JSON object a line to stdout.")(
        command
    )
    return click.option("--quiet", "-q", is_flag=True, help="Tell errors only.")(command)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _files(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(incomplete, type="file")]


def _bandwidth(_context: click.Context, _parameter: click.Parameter, text: str | None) -> Bandwidth | None:
    return Bandwidth(rate(text)) if text is not None else None


def rate(text: str) -> float:
    """Read bytes in a second: ``500k``, ``10M``, ``1.5G``; a k is 1024.

    Raises:
        BadParameter: It is something else.
    """
    found = _RATE.fullmatch(text)
    number = float(found[1]) * 1024.0 ** " KMGT".index(found[2].upper() or " ") if found else 0
    if number <= 0:
        raise click.BadParameter(f"{text!r} is no rate; give bytes in a second, like 500k or 10M.")
    return number


def _access(values: dict[str, str]) -> Access:
    return Access(
        userkey=values["identity_file"],
        profile=values["profile"],
        endpoint_url=values["endpoint_url"],
        region=values["region"],
        ssh_client=values["ssh_client"],
    )
