"""The interface that every adaptor offers. Adaptors of others can be held against `pilot_data.testing.StorageSuite`.

The calls take *many* files each, because what makes storages slow is one question per file. The promises:

- A file stands under its name whole and verified, or not at all: what is on its way has another name (`Item.partial`).
- Each item has one `Outcome`, in any order. An error of one file is in its outcome and leaves the others alone; an error
  of the storage as a whole (`errors.STORAGE_WIDE`) is raised, and items without an outcome have not landed.
- A transfer that was interrupted goes on where it stopped, if the storage can, when the same item is asked for again.
- Memory is bounded, whatever the sizes of files.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from pilot_protocol.data_descriptions import SSH_CLIENTS
from pilot_protocol.errors import DescriptionError

from .entries import Entry, Item, Outcome
from .job import Job
from .locations import Location


@dataclass(frozen=True)
class Access:
    """How a storage is entered; names of secrets, never secrets.

    Attributes:
        userkey: Path of a private key's file; empty for the user's defaults.
        profile: Name of a profile in ``~/.aws/credentials``, or of a Globus login; empty for the default.
        endpoint_url: Of an S3 service that is not Amazon's; empty for Amazon's.
        region: Of the bucket; empty for the profile's.
        ssh_client: What carries SSH connections, one of `SSH_CLIENTS`; empty for the first one.

    Raises:
        DescriptionError: There is no such client.
    """

    userkey: str = ""
    profile: str = ""
    endpoint_url: str = ""
    region: str = ""
    ssh_client: str = ""

    def __post_init__(self) -> None:
        if self.ssh_client not in {"", *SSH_CLIENTS}:
            raise DescriptionError(
                f"ssh_client is {self.ssh_client!r}; allowed: {', '.join(SSH_CLIENTS)}",
                key="ssh_client",
                value=self.ssh_client,
            )


@dataclass(frozen=True)
class Capabilities:
    """What a storage can keep of a file besides its content.

    Attributes:
        links: Symbolic links.
        modes: Permission bits.
        mtimes: Times of change; where False, an entry's time is when it was stored.
        folders: Empty folders.
        bytes_names: Names that are no UTF-8.
        bundles: Whether many small files are better stored as few large ones.
    """

    links: bool = False
    modes: bool = False
    mtimes: bool = False
    folders: bool = False
    bytes_names: bool = False
    bundles: bool = False


EVERYTHING = Capabilities(links=True, modes=True, mtimes=True, folders=True, bundles=True, bytes_names=True)
"""What a data unit can know of its files; each of its replicas keeps what its storage can."""


class Storage(ABC):
    """Files below one location. Used by one thread at a time.

    Args:
        location: The root; need not exist yet.
        access: How to enter.

    Attributes:
        capabilities: What it keeps.
    """

    capabilities: ClassVar[Capabilities]

    def __init__(self, location: Location, access: Access) -> None:
        self.location = location
        self.access = access

    @abstractmethod
    def list(self, paths: Sequence[str] = ("",)) -> Iterator[Entry]:
        """Yield files, links and empty folders at and below these paths, without what is still on its way.

        Args:
            paths: Below the root; the root itself by default. A path of a file yields that file.

        Raises:
            MissingFileError: There is nothing at a path.
            TransferError: The storage cannot be read.
        """

    @abstractmethod
    def put_many(self, root: str, items: Sequence[Item], job: Job) -> Iterator[Outcome]:
        """Copy local files here, in place of what has their names; makes the folders they need.

        Args:
            root: Local folder, absolute, that the items' entries are below.
            items: From there to here. An entry's checksum, if it has one, is what the content must have.
            job: What to keep to.

        Raises:
            TransferError: The storage as a whole fails; see the module's text.
        """

    @abstractmethod
    def get_many(self, items: Sequence[Item], root: str, job: Job) -> Iterator[Outcome]:
        """Copy files from here to this machine; makes the folders they need.

        Args:
            items: From here to below ``root``. An entry's checksum, if it has one, is what the content must have;
                otherwise it must be what the storage says it has.
            root: Local folder, absolute; need not exist.
            job: What to keep to.

        Raises:
            TransferError: The storage as a whole fails, or this machine's disk is full.
        """

    @abstractmethod
    def checksums(self, paths: Sequence[str], job: Job) -> dict[str, str]:
        """Return the SHA-256 of files as they are stored now, by reading them where they are, if that can be had.

        Args:
            paths: Of files; missing ones are left out of the result.
            job: What to keep to.
        """

    @abstractmethod
    def remove_many(self, paths: Sequence[str]) -> None:
        """Remove files and links, and the folders below the root that are empty then; missing ones are no error."""

    @abstractmethod
    def remove_all(self) -> None:
        """Remove everything at and below the root, with what has not arrived whole; nothing there is no error."""

    @abstractmethod
    def discard_many(self, items: Sequence[Item]) -> None:
        """Remove what has arrived so far of items that nobody will finish."""

    @abstractmethod
    def free_bytes(self) -> int | None:
        """Return how many bytes have room here, None where the storage does not tell. Asks the storage in any case.

        Raises:
            TransferError: It cannot be used: nobody answers, the login is refused, there is no such bucket or collection.
        """

    def copies_from(self, source: Storage) -> bool:
        """Return whether `copy_many` can bring files from there, without a way through this machine."""
        del source
        return False

    def copy_many(self, source: Storage, items: Sequence[Item], job: Job) -> Iterator[Outcome]:
        """Bring files here from another storage, without a way through this machine; see `copies_from`.

        Args:
            source: Where the items' entries are.
            items: From there to here.
            job: What to keep to.
        """
        raise NotImplementedError(f"{self.location.scheme}: cannot copy from {source.location.scheme}")

    @abstractmethod
    def close(self) -> None:
        """Let go of connections. The storage may be used again, which opens new ones."""
