"""What servers and connections say when something fails, as our errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pilot_data.errors import AccessDeniedError, ConnectionLostError, MissingFileError, TransferError

from .replies import Reply
from .sftp_wire import Kind, Status, status, status_code

_KINDS: dict[int, type[TransferError]] = {
    Status.NO_SUCH_FILE: MissingFileError,
    Status.PERMISSION_DENIED: AccessDeniedError,
    Status.NO_CONNECTION: ConnectionLostError,
    Status.CONNECTION_LOST: ConnectionLostError,
}
_WORDS: dict[int, str] = {
    Status.NO_SUCH_FILE: "there is no such file or folder",
    Status.PERMISSION_DENIED: "permission denied",
    Status.BAD_MESSAGE: "the server takes no such name or request",
    Status.OP_UNSUPPORTED: "the server cannot do that",
}


def code_of(reply: Reply) -> int:
    """Return the status that a reply holds; `Status.OK` for a reply with content."""
    return status_code(reply.body) if reply.kind == Kind.STATUS else Status.OK


def refusal(reply: Reply, what: str) -> TransferError:
    """Return the error that a reply tells of.

    Args:
        reply: With a status that is not `Status.OK`.
        what: What failed, for example ``cannot write host:/x``.
    """
    code, words = status(reply.body)
    kind = _KINDS.get(code, TransferError)
    return kind(f"{what}: {_WORDS.get(code) or f'the server says {words or code!r}'}")


def checked(reply: Reply, what: str) -> Reply:
    """Return a reply that tells of no error.

    Raises:
        TransferError: It does.
    """
    if reply.kind == Kind.STATUS and code_of(reply) != Status.OK:
        raise refusal(reply, what)
    return reply


@contextmanager
def told_as_lost(host: str, *others: type[Exception]) -> Iterator[None]:
    """Tell whatever ends a connection as a lost one.

    Args:
        host: How it is called.
        others: Errors of a client's own that mean the same.

    Raises:
        ConnectionLostError: The block met an error of the connection.
    """
    lost: tuple[type[Exception], ...] = (EOFError, OSError, *others)
    try:
        yield
    except lost as error:
        raise ConnectionLostError(
            f"{host}: the SSH connection was lost ({str(error) or type(error).__name__}); what had arrived stays"
        ) from error
