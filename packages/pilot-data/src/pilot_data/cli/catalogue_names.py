"""Names of the catalogue on the command line: which texts are such names, and which options go with them.

Light: nothing here connects to anything; what a command does with such a name is in `data_units`, imported when one is given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from pilot_protocol.errors import DescriptionError

Command = TypeVar("Command", bound=Callable[..., Any])

_ID = re.compile(r"du-[a-z2-7]{12}|pd-[a-z2-7]{8}")
_URL = re.compile(r"(?:redis|rediss|unix|local)://", re.IGNORECASE)

_OPTIONS = {"session", "pilot_data", "replicas", "unit_name"}
"""Of names of the catalogue only."""


def session_option(command: Command) -> Command:
    """Add the option that says where bare ids are looked for."""
    text = "Session that has what is named by a bare id; by default all that are known on this machine."
    return click.option("--session", default="", metavar="s-…", help=text)(command)


def from_option(command: Command) -> Command:
    """Add the option that names one of the places of a data unit."""
    text = "Of a data unit: the replica at this Pilot-Data."
    return click.option("--from", "pilot_data", default="", metavar="PD", help=text)(command)


def new_unit_options(command: Command) -> Command:
    """Add the options of a data unit that is made."""
    command = click.option("--name", "unit_name", default="", help="Name of the data unit that is made.")(
        command
    )
    return click.option(
        "--replicas",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="At how many Pilot-Data the data unit that is made shall be.",
    )(command)


def is_name(text: str) -> bool:
    """Return whether a text is the URL of an object of a catalogue, or the id of a data unit or Pilot-Data."""
    return bool(_ID.fullmatch(text) or _URL.match(text))


def has_name(texts: Iterable[str]) -> bool:
    """Return whether one of some texts is a name of the catalogue."""
    return any(map(is_name, texts))


def want_path(text: str, key: str, advice: str) -> None:
    """Make sure that a text is the path or URL of a folder.

    Args:
        text: Of the user.
        key: What it is called in errors.
        advice: What to do else.

    Raises:
        DescriptionError: It is a name of the catalogue.
    """
    if is_name(text):
        raise DescriptionError(
            f"{key} {text!r} is a name of the catalogue, and a folder is needed; {advice}",
            key=key,
            value=text,
        )


def check_all_names(texts: Iterable[str]) -> None:
    """Make sure that names of the catalogue are not among paths.

    Raises:
        DescriptionError: They are.
    """
    for text in texts:
        if not is_name(text):
            raise DescriptionError(
                f"{text!r} is no name of the catalogue, as another one is; name paths in a command of their own",
                key="name",
                value=text,
            )


def kind_of(text: str) -> str:
    """Return what a name of the catalogue names: ``du`` or ``pd``.

    Raises:
        DescriptionError: It names something else, or cannot be read.
    """
    kind = kind_named(text)
    if kind not in {"du", "pd"}:
        raise DescriptionError(
            f"{text!r} names a {kind!r}; a data unit ('du') or Pilot-Data ('pd') is allowed",
            key="name",
            value=text,
        )
    return kind


def kind_named(text: str) -> str:
    """Return what the id in a name of the catalogue begins with."""
    if "://" not in text:
        return text.partition("-")[0]
    if text.lower().startswith("local://"):
        return text[len("local://") :].lstrip("/").partition("-")[0]
    from pilot_session.coordination_url import parse_object_url

    return parse_object_url(text).kind


def check_alone(target: str | None) -> None:
    """Make sure that there is no target beside a name of the catalogue.

    Raises:
        DescriptionError: There is one.
    """
    if target is not None:
        raise DescriptionError(
            f"a data unit or Pilot-Data is named alone here; leave out {target!r}", key="target", value=target
        )


def of_paths(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a command on paths and URLs of files; see `check_of_paths`."""
    check_of_paths()
    return {name: value for name, value in options.items() if name not in _OPTIONS}


def check_of_paths() -> None:
    """Make sure that the command has no option of names of the catalogue.

    Raises:
        DescriptionError: One is given.
    """
    _check(lambda name: name not in _OPTIONS, "paths and URLs of files")


def allow_only(names: Collection[str], what: str) -> None:
    """Make sure that only some options are given.

    Args:
        names: Of their parameters; ``as_json`` and ``quiet`` are always allowed.
        what: They are for.

    Raises:
        DescriptionError: Another one is given.
    """
    _check({*names, "session", "as_json", "quiet"}.__contains__, what)


def _check(is_allowed: Callable[[str], bool], what: str) -> None:
    context = click.get_current_context()
    for parameter in context.command.params:
        name = parameter.name or ""
        is_given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if isinstance(parameter, click.Option) and is_given and not is_allowed(name):
            raise DescriptionError(f"{parameter.opts[0]} does not go with {what}", key=name)
