"""Settings of an agent: read once from the file that the client wrote. The only reader of the agent's environment.

The file holds the session's key and the password of Redis. It belongs to the user, nobody else may read it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pilot_protocol.errors import CoordinationError, DescriptionError

from .lrms.node_commands import LAUNCHERS
from .settings_file import read_private
from .tunnel_url import TunnelTarget, read_target

DEFAULT_LEASE_S = 30.0
DEFAULT_GRACE_S = 10.0
DEFAULT_LOST_TIMEOUT_S = 600.0
DEFAULT_FIRST_PATIENCE_S = 30.0
DEFAULT_NODE_PATIENCE_S = 60.0
DEFAULT_MOVER_TRANSFERS = 4
MOST_EXECUTORS = 2


@dataclass(frozen=True)
class AgentConfig:
    """What an agent is told at its start."""

    path: Path
    coordination_url: str = field(repr=False)
    """With the password; never logged."""
    session: str
    key: bytes = field(repr=False)
    pilot: str
    cores: int | None
    """On all nodes together; None: all that the pilot's job has."""
    sandbox: Path
    lease_s: float = DEFAULT_LEASE_S
    grace_s: float = DEFAULT_GRACE_S
    """Time between SIGTERM and SIGKILL for a unit that is to end."""
    walltime_s: float | None = None
    executors: int = 1
    """At most, on the node of the head; never more than cores."""
    gpus: int = 0
    """Of each node."""
    memory_mb: int | None = None
    """Of each node."""
    label: str = ","
    lifeline_fd: int | None = None
    lost_timeout_s: float = DEFAULT_LOST_TIMEOUT_S
    """How long the agent looks for a Redis that is gone before it gives up its allocation."""
    first_patience_s: float = DEFAULT_FIRST_PATIENCE_S
    """How long the agent looks for a Redis that it has never reached."""
    on_partition: str = "stop"
    """``stop``: units end shortly before the lease of an agent without Redis does; ``continue``: they go on."""
    lrms: str = "auto"
    """``auto``: look for a batch job around the agent; ``local``: there is none, or it is somebody else's."""
    node_launcher: str = "auto"
    """How executors are started on other nodes: one of :data:`~pilot_agent.lrms.node_commands.LAUNCHERS`; ``auto``: as the
    batch system does it."""
    node_patience_s: float = DEFAULT_NODE_PATIENCE_S
    """How long the other nodes of the pilot may take to come, and one that is lost to come back."""
    mpi_launcher: str = ""
    """Family of launchers for MPI units; empty: the first that is found."""
    mpi_srun_type: str = ""
    """What `srun --mpi=` is given; empty: nothing."""
    cache_mb: int = 0
    """Most room for input that units share, in the sandbox; 0: what the disk has."""
    mover_transfers: int = DEFAULT_MOVER_TRANSFERS
    """For how many units data is moved at once."""
    tunnel: TunnelTarget | None = None
    """The way to Redis; None: the coordination URL is reached from here."""

    @property
    def mpi(self) -> dict[str, str]:
        """What executors are told of MPI, beside a unit's ranks."""
        return {"launcher": self.mpi_launcher, "srun_type": self.mpi_srun_type}

    @property
    def lease_ms(self) -> int:
        """The lease in whole milliseconds."""
        return int(self.lease_s * 1000)


_LEAST_LEASE_S = 1.0


def read_config(path: Path) -> AgentConfig:
    """Read an agent's settings.

    Raises:
        CoordinationError: The file is missing, belongs to somebody else, or others may read it.
        DescriptionError: A setting is missing or has a wrong value.
    """
    content = _read_private(path)
    options = _mapping(content, "options")
    cores = None if content.get("cores") is None else _whole(content, "cores", least=1)
    lifeline_fd = _descriptor(content, "lifeline_fd")
    return AgentConfig(
        path=path,
        coordination_url=_text(content, "coordination_url"),
        session=_text(content, "session"),
        key=_key(content),
        pilot=_text(content, "pilot"),
        cores=cores,
        sandbox=_folder(content, "sandbox"),
        lease_s=_number(content, "lease_s", DEFAULT_LEASE_S, least=_LEAST_LEASE_S),
        grace_s=_number(options, "grace_s", DEFAULT_GRACE_S, least=0.0),
        walltime_s=_number(content, "walltime_s", None, least=0.0),
        executors=_executors(options, cores),
        gpus=_whole(content, "gpus", default=0),
        memory_mb=_whole(content, "memory_mb", default=0) or None,
        label=_text(content, "label", default=","),
        lifeline_fd=lifeline_fd,
        lost_timeout_s=_number({**content, **options}, "lost_timeout_s", DEFAULT_LOST_TIMEOUT_S, least=0.0),
        first_patience_s=_number(options, "first_patience_s", DEFAULT_FIRST_PATIENCE_S, least=0.0),
        on_partition=_choice(options, "on_partition", ("stop", "continue")),
        lrms=_lrms(content, lifeline_fd),
        node_launcher=_choice(options, "node_launcher", ("auto", *LAUNCHERS)),
        node_patience_s=_number(options, "node_patience_s", DEFAULT_NODE_PATIENCE_S, least=1.0),
        mpi_launcher=_text(options, "mpi_launcher", default="auto").replace("auto", ""),
        mpi_srun_type="" if options.get("mpi_srun_type") is None else _text(options, "mpi_srun_type"),
        cache_mb=_whole(options, "cache_mb", default=0),
        mover_transfers=_whole(options, "mover_transfers", default=DEFAULT_MOVER_TRANSFERS, least=1),
        tunnel=_tunnel(content),
    )


def _read_private(path: Path) -> Mapping[str, Any]:
    try:
        return read_private(str(path))
    except OSError as error:
        raise CoordinationError(f"the agent's settings {path} {error.strerror}") from error
    except ValueError as error:
        raise DescriptionError(f"the agent's settings {path} {error}") from error


def _mapping(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = content.get(name)
    if value is not None and not isinstance(value, dict):
        raise DescriptionError(
            f"agent setting {name} is {value!r}; an object is required", key=name, value=value
        )
    return value or {}


def _text(content: Mapping[str, Any], name: str, *, default: str | None = None) -> str:
    value = content.get(name, default)
    if not isinstance(value, str) or not value:
        raise DescriptionError(
            f"agent setting {name} is {value!r}; a text is required", key=name, value=value
        )
    return value


def _folder(content: Mapping[str, Any], name: str) -> Path:
    value = _text(content, name)
    if not os.path.isabs(value):
        raise DescriptionError(
            f"agent setting {name} is {value!r}; an absolute path is required", key=name, value=value
        )
    return Path(value)


def _descriptor(content: Mapping[str, Any], name: str) -> int | None:
    return None if content.get(name) is None else _whole(content, name)


def _key(content: Mapping[str, Any]) -> bytes:
    try:
        return bytes.fromhex(_text(content, "key"))
    except ValueError as error:
        raise DescriptionError("agent setting key is not hexadecimal", key="key") from error


def _whole(content: Mapping[str, Any], name: str, *, default: int | None = None, least: int = 0) -> int:
    value = content.get(name)
    value = default if value is None else value
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise DescriptionError(
            f"agent setting {name} is {value!r}; a whole number of at least {least} is required",
            key=name,
            value=value,
        )
    return value


def _number(content: Mapping[str, Any], name: str, default: Any, *, least: float) -> Any:
    value = content.get(name)
    if value is None:
        return default
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not least <= value < math.inf:
        raise DescriptionError(
            f"agent setting {name} is {value!r}; a number of at least {least} is required",
            key=name,
            value=value,
        )
    return float(value)


def _executors(options: Mapping[str, Any], cores: int | None) -> int:
    asked = _whole(options, "executors", default=MOST_EXECUTORS, least=1)
    return asked if cores is None else min(asked, cores)


def _lrms(content: Mapping[str, Any], lifeline_fd: int | None) -> str:
    """A client that holds the other end of a lifeline has started the agent itself, be it inside a batch job."""
    usual = ("auto", "local") if lifeline_fd is None else ("local", "auto")
    return _choice(content, "lrms", usual)


def _tunnel(content: Mapping[str, Any]) -> TunnelTarget | None:
    if content.get("tunnel") is None:
        return None
    tunnel = _mapping(content, "tunnel")
    return read_target(tunnel.get("host"), tunnel.get("socket"), tunnel.get("address"))


def _choice(options: Mapping[str, Any], name: str, allowed: tuple[str, ...]) -> str:
    """Return what is said; the first of what is allowed, by default."""
    value = options.get(name, allowed[0])
    if value not in allowed:
        raise DescriptionError(
            f"agent option {name} is {value!r}; allowed: {', '.join(allowed)}", key=name, value=value
        )
    return str(value)
