"""A storage that keeps many small files as few bundles, and looks like any other."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from .bundle_gets import Wanted, get_bundled
from .bundle_index import Bundled, decode, encode, list_of
from .bundle_puts import Stored, put_bundled
from .bundles import FOLDER
from .entries import Entry, Item, Outcome
from .errors import MissingFileError, TransferError
from .job import Job
from .spools import spool_folder
from .storage import Storage


class BundledStorage(Storage):
    """Small files of a storage in bundles, the others as they are.

    Args:
        inner: Where everything is kept.
    """

    def __init__(self, inner: Storage) -> None:
        super().__init__(inner.location, inner.access)
        self.inner = inner
        self.capabilities = replace(inner.capabilities, bundles=False)  # type: ignore[misc]
        self._index: dict[str, Bundled] | None = None

    def list(self, paths: Sequence[str] = ("",)) -> Iterator[Entry]:
        """See `Storage.list`."""
        found = False
        for entry in present_below(self.inner):
            if _is_wanted(entry.path, paths) and not self._is_in_bundles(entry.path):
                found = True
                yield entry
        for file in self._known().values():
            if _is_wanted(file.entry.path, paths):
                found = True
                yield file.entry
        if not found:
            raise MissingFileError(f"there is nothing at {', '.join(map(repr, paths))} of {self.location}")

    def put_many(self, root: str, items: Sequence[Item], job: Job) -> Iterator[Outcome]:
        """See `Storage.put_many`."""
        with spool_folder() as spool:
            stored = list(put_bundled(self.inner, root, items, job, spool))
        bundles = {one.place.bundle for one in stored if one.place is not None}
        self._drop([one.outcome.item.target for one in stored if one.outcome.error is None], bundles)
        self._known().update(
            (one.outcome.item.target, _bundled(one)) for one in stored if one.place is not None
        )
        for one in stored:
            yield one.outcome

    def get_many(self, items: Sequence[Item], root: str, job: Job) -> Iterator[Outcome]:
        """See `Storage.get_many`."""
        known = self._known()
        given = {item.target: item for item in items}
        with spool_folder() as spool:
            for outcome in get_bundled(
                self.inner, [_wanted(item, known) for item in items], root, job, spool
            ):
                yield replace(outcome, item=given[outcome.item.target])

    def checksums(self, paths: Sequence[str], job: Job) -> dict[str, str]:
        """See `Storage.checksums`: what is bundled comes through this machine."""
        known = self._known()
        inside = [path for path in paths if path in known]
        found = self.inner.checksums([path for path in paths if path not in known], job)
        with spool_folder() as spool:
            items = [
                Item(replace(known[path].entry, checksum=""), str(number))
                for number, path in enumerate(inside)
            ]
            for outcome in self.get_many(items, f"{spool}/files", job.unheard()):
                if outcome.error is None:
                    found[outcome.item.entry.path] = outcome.checksum
        return found

    def remove_many(self, paths: Sequence[str]) -> None:
        """See `Storage.remove_many`. A bundle goes with the last of its files."""
        self._drop(paths)
        self.inner.remove_many(paths)

    def remove_all(self) -> None:
        """See `Storage.remove_all`."""
        self._index = None
        self.inner.remove_all()

    def discard_many(self, items: Sequence[Item]) -> None:
        """See `Storage.discard_many`."""
        self.inner.discard_many(items)

    def free_bytes(self) -> int | None:
        """See `Storage.free_bytes`."""
        return self.inner.free_bytes()

    def copies_from(self, source: Storage) -> bool:
        """See `Storage.copies_from`."""
        return isinstance(source, BundledStorage) and self.inner.copies_from(source.inner)

    def copy_many(self, source: Storage, items: Sequence[Item], job: Job) -> Iterator[Outcome]:
        """See `Storage.copy_many`. Bundles are copied whole, with all that is in them."""
        if not isinstance(source, BundledStorage):
            return
        known = source._known()  # noqa: SLF001 - of this very class
        inside = {item.entry.path: item for item in items if item.entry.path in known}
        bundles = sorted({known[path].place.bundle for path in inside})
        files = {
            bundle: [
                file for file in known.values() if file.place.bundle == bundle and file.entry.path in inside
            ]
            for bundle in bundles
        }
        errors = self._copy_bundles(source, bundles, job)
        with spool_folder() as spool:
            self._put_lists({bundle: files[bundle] for bundle in bundles if bundle not in errors}, spool, job)
        self._index = None
        for path, item in inside.items():
            error = errors.get(known[path].place.bundle)
            yield Outcome(item, "" if error else known[path].entry.checksum, error)
        others = [item for item in items if item.entry.path not in inside]
        yield from self.inner.copy_many(source.inner, others, job)

    def close(self) -> None:
        """See `Storage.close`."""
        self._index = None
        self.inner.close()

    def _copy_bundles(
        self, source: BundledStorage, bundles: Sequence[str], job: Job
    ) -> dict[str, TransferError]:
        """Copy bundles; return what went wrong, by bundle."""
        if not bundles:
            return {}
        items = [Item(entry, entry.path) for entry in source.inner.list(bundles)]
        outcomes = self.inner.copy_many(source.inner, items, job)
        return {outcome.item.target: outcome.error for outcome in outcomes if outcome.error is not None}

    def _is_in_bundles(self, path: str) -> bool:
        return path.startswith(f"{FOLDER}/") or path in self._known()

    def _known(self) -> dict[str, Bundled]:
        """Return what is in bundles, by path."""
        if self._index is None:
            self._index = self._read_lists()
        return self._index

    def _read_lists(self) -> dict[str, Bundled]:
        present = {entry.path: entry for entry in present_below(self.inner, FOLDER)}
        # A list without its bundle is of one that has not arrived.
        lists = [
            entry
            for path, entry in present.items()
            if path.removesuffix(list_of("")) in present.keys() - {path}
        ]
        found: dict[str, Bundled] = {}
        with spool_folder() as spool:
            items = [Item(entry, str(number)) for number, entry in enumerate(lists)]
            for outcome in self.inner.get_many(items, spool, Job()):
                if outcome.error is not None:
                    raise outcome.error
                bundle = outcome.item.entry.path.removesuffix(list_of(""))
                with open(f"{spool}/{outcome.item.target}", "rb") as file:
                    found.update((one.entry.path, one) for one in decode(bundle, file.read()))
        return found

    def _drop(self, paths: Sequence[str], besides: Collection[str] = ()) -> None:
        """Take files off the lists of bundles, but for some bundles; one without files is removed."""
        known = self._known()
        gone = {path for path in paths if path in known and known[path].place.bundle not in besides}
        left: dict[str, Sequence[Bundled]] = {known[path].place.bundle: [] for path in gone}
        for path in gone:
            del known[path]
        for bundle in left:
            left[bundle] = [file for file in known.values() if file.place.bundle == bundle]
        with spool_folder() as spool:
            self._put_lists({bundle: files for bundle, files in left.items() if files}, spool, Job())
        empty = [bundle for bundle, files in left.items() if not files]
        if empty:
            self.inner.remove_many([name for bundle in empty for name in (list_of(bundle), bundle)])

    def _put_lists(self, by_bundle: Mapping[str, Sequence[Bundled]], spool: str, job: Job) -> None:
        if not by_bundle:
            return
        items = []
        for number, (bundle, files) in enumerate(by_bundle.items()):
            content = encode(files)
            name = f"list-{number}"
            with open(f"{spool}/{name}", "wb") as file:
                file.write(content)
            items.append(Item(Entry(name, size=len(content)), list_of(bundle)))
        for outcome in self.inner.put_many(spool, items, job.unheard()):
            if outcome.error is not None:
                raise outcome.error


def present_below(storage: Storage, path: str = "") -> Iterator[Entry]:
    """Yield what a storage lists at a path; nothing if nothing is there."""
    try:
        yield from storage.list([path])
    except MissingFileError:
        return


def _bundled(stored: Stored) -> Bundled:
    item, place = stored.outcome.item, stored.place
    assert place is not None  # noqa: S101 - asked for only then
    return Bundled(replace(item.entry, path=item.target, checksum=stored.outcome.checksum), place)


def _wanted(item: Item, known: dict[str, Bundled]) -> Wanted:
    file = known.get(item.entry.path)
    if file is None:
        return Wanted(item)
    checksum = item.entry.checksum or file.entry.checksum
    return Wanted(replace(item, entry=replace(item.entry, checksum=checksum)), file.place)


def _is_wanted(path: str, paths: Sequence[str]) -> bool:
    return any(not name or path == name or path.startswith(f"{name}/") for name in paths)
