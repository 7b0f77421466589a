"""Files of a collection are removed by tasks, and the folders that are empty then."""

from __future__ import annotations

from collections.abc import Sequence

from pilot_data.errors import MissingFileError, TransferError

from .folders import Folders, above, is_folder
from .globus_errors import NotAFolderError
from .tasks import Tasks


def remove(folders: Folders, tasks: Tasks, paths: Sequence[str]) -> None:
    """Remove files, links and empty folders; see `Storage.remove_many`.

    Globus removes a folder with all that it holds, or not at all. So what is a file goes first; then each folder is
    looked at again, and goes when it is empty. Whoever puts a file into it at just that moment may lose it.
    """
    parents = above([path for path in paths if folders.path_of(path)])
    named = set(paths)
    files, candidates = [], set()
    for parent in parents:
        held = _held(folders, parent)
        files += [path for path, is_dir in held.items() if path in named and not is_dir]
        candidates |= {path for path, is_dir in held.items() if path in named and is_dir} | {parent}
    tasks.delete(folders.collection, [folders.path_of(path) for path in files], recursive=False)
    empty = _empty(folders, candidates - {""})
    tasks.delete(folders.collection, [folders.path_of(path) for path in empty], recursive=True)


def remove_all(folders: Folders, tasks: Tasks) -> None:
    """Remove the root with what it holds; of a collection's own root, what it holds."""
    paths = [folders.root]
    if folders.root.rpartition("/")[2] in {"", "~"}:
        paths = [f"{folders.root.rstrip('/')}/{found['name']}" for found in folders.children("")]
        if folders.root == "/" and any(path.startswith("/~") for path in paths):
            raise TransferError(f"collection {folders.collection} has names in / that Globus takes for homes")
    tasks.delete(folders.collection, paths, recursive=True)


def _held(folders: Folders, path: str) -> dict[str, bool]:
    """Return what a folder holds, by path, and whether each is a folder; nothing when there is none."""
    try:
        children = folders.children(path)
    except (MissingFileError, NotAFolderError):
        return {}
    return {f"{path}/{found['name']}" if path else str(found["name"]): is_folder(found) for found in children}


def _empty(folders: Folders, candidates: set[str]) -> list[str]:
    """Return the folders that hold nothing, or nothing but such folders; deepest first."""
    empty: list[str] = []
    waiting = set(candidates)
    while waiting:
        path = max(waiting, key=lambda one: one.count("/"))
        waiting.remove(path)
        try:
            held = {str(found["name"]) for found in folders.children(path)}
        except (MissingFileError, NotAFolderError):
            continue
        if held - {one.rpartition("/")[2] for one in empty if one.rpartition("/")[0] == path}:
            continue
        empty.append(path)
        parent = path.rpartition("/")[0]
        waiting |= {parent} if parent else set()
    return empty
