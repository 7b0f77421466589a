"""An archive of modules with their byte code in it. Pure."""

from __future__ import annotations

import importlib.util
import io
import marshal
import zipfile
from collections.abc import Iterator

_UNCHECKED = (1).to_bytes(4, "little")
"""Says that byte code belongs to its source by a hash, which is not looked at (PEP 552); times in an archive are no use."""
_DATA = "data/"
"""Folder of what only the mover imports. It stays source: a pilot without data does not wait for that to be compiled, and a Python
that is too old for it cannot."""
_FAST = 1
"""Level of compression: a pilot waits."""


def with_byte_code(archive: bytes, path: str, *, room: int) -> bytes:
    """Return an archive of the same files, whose sources tracebacks show, and of the agent's byte code for this Python.

    Args:
        archive: A zip file.
        path: Where it lies, for tracebacks.
        room: How many bytes have to be appended to what is returned, to make it one: the comment at its end.
    """
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            for made, content in _files(name, source.read(name), path):
                target.writestr(made, content, zipfile.ZIP_DEFLATED, _FAST)
        target.comment = bytes(room)
    return out.getvalue()[:-room]


def _files(name: str, content: bytes, path: str) -> Iterator[tuple[str, bytes]]:
    yield name, content
    if name.endswith(".py") and not name.startswith(_DATA):
        code = compile(content, f"{path}/{name}", "exec", dont_inherit=True)
        head = importlib.util.MAGIC_NUMBER + _UNCHECKED + importlib.util.source_hash(content)
        yield f"{name}c", head + marshal.dumps(code)
