"""``pilot-data ls``."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import click

from pilot_data.entries import Entry

from .catalogue_names import allow_only, check_of_paths, is_name, kind_of, session_option
from .named_files import below, named
from .options import access_of, access_options, place
from .output import human, show_event, shown


@click.command
@place("url")
@click.option("--recursive", "-r", is_flag=True, help="List what is in folders, too.")
@click.option("--json", "as_json", is_flag=True, help="Write a JSON object a line.")
@session_option
@access_options
def ls(url: str, *, recursive: bool, as_json: bool, session: str, **options: Any) -> None:
    """List files: mode, size, time of change, name; of a Pilot-Data its data units.

    Of a folder, a file or what matches a pattern. The size of a folder is that of all files in it. Sizes are in K of 1024. Names with characters that cannot be printed
    are shown with backslashes.
    """
    if is_name(url):
        _list_name(url, session, recursive=recursive, as_json=as_json)
        return
    check_of_paths()
    with named(url, access_of(options).target) as (source, storage):
        entries = (replace(entry, path=below(source, entry.path)) for entry in source.entries(storage))
        _show(entries, recursive=recursive, as_json=as_json)


def _list_name(name: str, session: str, *, recursive: bool, as_json: bool) -> None:
    from .data_units.listing import files_of, list_units

    if kind_of(name) == "pd":
        list_units(name, session, as_json=as_json)
        return
    allow_only(("recursive",), "a data unit")
    _show(files_of(name, session), recursive=recursive, as_json=as_json)


def _show(entries: Iterable[Entry], *, recursive: bool, as_json: bool) -> None:
    for entry in entries if recursive else folded(entries):
        if as_json:
            _show_json(entry)
        else:
            click.echo(line(entry))


def folded(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yield entries of the first level; a folder with the size of what it holds, and the last time of change."""
    folders: dict[str, Entry] = {}
    for entry in entries:
        name, slash, _rest = entry.path.partition("/")
        if not slash:
            yield entry
            continue
        known = folders.get(name, Entry(name, is_folder=True))
        size, mtime_ns = known.size + entry.bytes_to_move, max(known.mtime_ns, entry.mtime_ns)
        folders[name] = replace(known, size=size, mtime_ns=mtime_ns)
    yield from folders.values()


def line(entry: Entry) -> str:
    """Return an entry as ``ls -l`` shows it."""
    kind = stat.S_IFDIR if entry.is_folder else stat.S_IFLNK if entry.link else stat.S_IFREG
    mode = stat.filemode(kind | entry.mode)
    mode = mode if entry.mode else f"{mode[0]}         "
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.mtime_ns // 10**9)) if entry.mtime_ns else ""
    name = shown(entry.path) + ("/" if entry.is_folder else "")
    link = f" -> {shown(entry.link)}" if entry.link else ""
    return f"{mode} {human(entry.size):>5} {when:16} {name}{link}"


def _show_json(entry: Entry) -> None:
    kind = "folder" if entry.is_folder else "link" if entry.link else "file"
    show_event(kind, path=entry.path, bytes=entry.size, mtime_ns=entry.mtime_ns, mode=entry.mode,
               link=entry.link, checksum=entry.checksum)  # fmt: skip
