"""Collections of the emulator: folders of this machine, and what can be asked of them."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from .faults import Faults, Refusal

Document = dict[str, Any]


class Collections:
    """Folders by id.

    Args:
        roots: The folder of each collection.
        faults: What goes wrong.
    """

    def __init__(self, roots: Mapping[str, str], faults: Faults) -> None:
        self._roots = {key: os.path.realpath(root) for key, root in roots.items()}
        self._faults = faults

    def real(self, collection: str, path: str) -> str:
        """Return the local path of a file; ``/~/`` is the folder ``home`` of a collection."""
        root = self._roots.get(collection)
        if root is None:
            raise Refusal(404, "EndpointNotFound", f"No such endpoint '{collection}'")
        if path.startswith("/~"):
            path = "/home" + path[2:]
        full = os.path.normpath(f"{root}/{path}")
        if full != root and not full.startswith(root + "/"):
            raise Refusal(403, "EndpointPermissionDenied", "Denied by endpoint: Path not allowed.")
        return full

    def check_consent(self, collection: str) -> None:
        """Refuse what nobody has consented to."""
        if collection in self._faults.consents:
            scope = "urn:globus:auth:scope:transfer.api.globus.org:all"
            more = f"{scope}[*https://auth.globus.org/scopes/{collection}/data_access]"
            raise Refusal(
                403, "ConsentRequired", "Missing required data_access consent", required_scopes=[more]
            )

    def describe(self, collection: str) -> Document:
        """Answer for a collection."""
        self.real(collection, "/")
        return {
            "DATA_TYPE": "endpoint",
            "id": collection,
            "display_name": f"emulated collection {collection}",
            "entity_type": "GCSv5_mapped_collection",
            "DATA": [],
        }

    def ls(self, collection: str, query: Mapping[str, str]) -> Document:
        """List a folder."""
        path = query.get("path", "/")
        full = self._existing(collection, path)
        if not os.path.isdir(full):
            raise Refusal(502, "ExternalError.DirListingFailed.NotDirectory", "Path is not a directory")
        names = sorted(os.listdir(full))
        if query.get("show_hidden", "1").lower() in {"0", "false"}:
            names = [name for name in names if not name.startswith(".")]
        offset, limit = int(query.get("offset", 0)), int(query.get("limit", 100_000))
        found = [_file(f"{full}/{name}") for name in names[offset : offset + limit]]
        return {
            "DATA_TYPE": "file_list",
            "endpoint": collection,
            "path": path,
            "total": len(names),
            "length": len(found),
            "offset": offset,
            "limit": limit,
            "DATA": found,
        }

    def stat(self, collection: str, query: Mapping[str, str]) -> Document:
        """Tell of one file."""
        return _file(self._existing(collection, query.get("path", "/")))

    def mkdir(self, collection: str, body: Document) -> Document:
        """Make a folder."""
        try:
            os.mkdir(self.real(collection, body["path"]))
        except FileExistsError:
            raise Refusal(502, "ExternalError.MkdirFailed.Exists", "Path already exists") from None
        except FileNotFoundError:
            raise Refusal(404, "ClientError.NotFound", "No such file or directory") from None
        return {
            "DATA_TYPE": "mkdir_result",
            "code": "DirectoryCreated",
            "message": "The directory was created successfully",
        }

    def rename(self, collection: str, body: Document) -> Document:
        """Rename a file or a folder."""
        new = self.real(collection, body["new_path"])
        if self._faults.keeps_names and os.path.lexists(new):
            raise Refusal(502, "ExternalError.RenameFailed.Exists", "Path already exists")
        try:
            os.rename(self.real(collection, body["old_path"]), new)
        except FileNotFoundError:
            raise Refusal(404, "ClientError.NotFound", "No such file or directory") from None
        return {
            "DATA_TYPE": "result",
            "code": "FileRenamed",
            "message": "File or directory renamed successfully",
        }

    def _existing(self, collection: str, path: str) -> str:
        full = self.real(collection, path)
        if not os.path.lexists(full):
            raise Refusal(404, "ClientError.NotFound", f"Directory '{path}' not found on endpoint")
        return full


def _file(full: str) -> Document:
    own = os.lstat(full)
    link = os.readlink(full) if stat.S_ISLNK(own.st_mode) else None
    is_broken = link is not None and not os.path.exists(full)
    found = own if is_broken else os.stat(full)
    kind = "dir" if stat.S_ISDIR(found.st_mode) else "file"
    changed = datetime.fromtimestamp(int(found.st_mtime), timezone.utc)
    return {
        "DATA_TYPE": "file",
        "name": os.path.basename(full),
        "type": "invalid_symlink" if is_broken else kind,
        "size": found.st_size,
        "permissions": f"{stat.S_IMODE(found.st_mode):04o}",
        "last_modified": changed.isoformat(sep=" "),
        "link_target": link,
    }
