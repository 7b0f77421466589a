"""Settings of sites: what a pilot needs at a machine, written down once and called by name, ``site://mycluster``.

They stand in ``sites.toml`` of the user's configuration folder and in ``pilot.toml`` of the current folder, which wins.
The invariant: what decides on which machine a pilot runs and which code is taken only from files that nobody else could
have written.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pilot_protocol.checks import suggestion
from pilot_protocol.command_checks import environment
from pilot_protocol.compute_descriptions import PILOT_SCHEMA
from pilot_protocol.descriptions import validate
from pilot_protocol.errors import DescriptionError

from .config import ClientConfig

SCHEME = "site"
FOLDER_FILE = "pilot.toml"
"""In the current folder."""

TRUSTED_KEYS = ("service_url", "setup", "python", "environment", "file_transfer", "vm_id")
"""Whoever writes these has commands run as the user, or gets what an agent is told in secret."""

_SETTINGS = replace(PILOT_SCHEMA, required={})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class SiteFile:
    """One file with settings of sites.

    Attributes:
        path: Where it lies.
        sites: Settings by the name of the site, as they were written.
        exists: Whether there is such a file.
        distrust: Why somebody else may have written it, with what to do; empty when nobody can have.
    """

    path: str
    sites: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    exists: bool = True
    distrust: str = ""


def expand(
    description: Mapping[str, object], files: Sequence[SiteFile] | None = None
) -> Mapping[str, object]:
    """Return a description in which the site's settings stand for ``site://name``; any other as it is.

    What the description gives replaces what the site says, except that variables of ``environment`` are added.

    Args:
        description: Of a pilot.
        files: The later ones win, key by key; by default the user's file and that of the current folder.

    Raises:
        DescriptionError: There is no such site, its settings are wrong, or a file cannot be read or trusted.
    """
    name = _site_of(description)
    if name is None:
        return description
    known = read_site_files(ClientConfig.from_environment()) if files is None else files
    return _overlay(_settings_of(name, known), description)


def read_site_files(config: ClientConfig) -> list[SiteFile]:
    """Read the user's file and that of the current folder, in this order.

    Raises:
        DescriptionError: One cannot be read, or is not what a file with sites looks like.
    """
    return [read_site_file(config.sites_file), read_site_file(Path(FOLDER_FILE))]


def read_site_file(path: Path) -> SiteFile:
    """Read one file; it need not be there.

    Raises:
        DescriptionError: It cannot be read, or is not what a file with sites looks like.
    """
    shown = _absolute(path)
    try:
        with path.open("rb") as file:
            distrust = _distrust(shown, os.fstat(file.fileno()))
            content = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return SiteFile(shown, exists=False)
    except OSError as error:
        raise DescriptionError(
            f"{shown} cannot be read: {error.strerror}; make it a file that you can read, or remove it"
        ) from error
    return SiteFile(shown, _sites_in(shown, _table(shown, content)), distrust=distrust)


def _absolute(path: Path) -> str:
    try:
        return str(path.absolute())
    except FileNotFoundError:  # the current folder is gone
        return str(path)


def _site_of(description: object) -> str | None:
    """Return the name of the site that a description asks for; None when it names its resource itself."""
    url = description.get("service_url") if isinstance(description, Mapping) else None
    scheme, separator, name = url.partition("://") if isinstance(url, str) else ("", "", "")
    if not separator or scheme.lower() != SCHEME:
        return None
    if not _NAME.fullmatch(name):
        raise DescriptionError(
            f"service_url is {url!r}; give {SCHEME}:// and the name of a site, which is made of letters, digits, '.', "
            "'_' and '-'; a queue goes into 'queue', a user into the site's own service_url",
            key="service_url",
            value=url,
        )
    return name


def _settings_of(name: str, files: Sequence[SiteFile]) -> dict[str, Any]:
    """Return what the files say of a site together."""
    holding = [file for file in files if name in file.sites]
    if not holding:
        raise _unknown_site(name, files)
    settings: dict[str, Any] = {}
    for file in holding:
        settings = {**settings, **_with_variables(settings, _checked(file, name))}
    if "service_url" not in settings:
        raise DescriptionError(
            f"site {name!r} has no 'service_url' in {' or '.join(file.path for file in holding)}; "
            "add the URL of the resource, like slurm+ssh://login.cluster",
            key="service_url",
        )
    return settings


def _unknown_site(name: str, files: Sequence[SiteFile]) -> DescriptionError:
    known = sorted({site for file in files for site in file.sites})
    looked = ", ".join(file.path if file.exists else f"{file.path} (not there)" for file in files)
    advice = suggestion(name, known) if known else "none is known"
    listed = f" known are {', '.join(known)};" if known and not advice.startswith("known") else ""
    return DescriptionError(
        f"there is no site {name!r}; {advice}{';' if advice[-1] != '?' else ''}{listed} looked for [sites.{name}] in: "
        f"{looked}",
        key="service_url",
        value=f"{SCHEME}://{name}",
    )


def _checked(file: SiteFile, name: str) -> dict[str, Any]:
    """Return the normalized settings that one file has for a site."""
    table = file.sites[name]
    place = f"{file.path}: site {name!r}"
    if _names_a_site(table.get("service_url")):
        raise DescriptionError(
            f"{place}: service_url is {table['service_url']!r}; a site cannot refer to another one, give the URL of "
            "the resource",
            key="service_url",
            value=table["service_url"],
        )
    try:
        settings = validate(_SETTINGS, table)
    except DescriptionError as error:
        raise type(error)(f"{place}: {error}", key=error.key, value=error.given) from None
    risky = [key for key in TRUSTED_KEYS if key in settings]
    if risky and file.distrust:
        raise DescriptionError(
            f"{place}: {', '.join(risky)} cannot be taken from this file: {file.distrust}", key=risky[0]
        )
    return settings


def _names_a_site(url: object) -> bool:
    return isinstance(url, str) and url.lower().startswith(f"{SCHEME}:")


def _overlay(settings: Mapping[str, Any], description: Mapping[str, object]) -> dict[str, object]:
    """Lay what a description gives over the settings of its site."""
    given = {
        key: value for key, value in description.items() if key != "service_url" and value not in (None, "")
    }
    said = {
        PILOT_SCHEMA.renamed.get(key, key) for key in given
    }  # BigJob's old name for a key replaces it, too
    kept = {key: value for key, value in settings.items() if key not in said or key == "environment"}
    if "environment" in given:
        given["environment"] = environment("environment", given["environment"])
    return {**kept, **_with_variables(kept, given)}


def _with_variables(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return the upper settings with the variables of the lower ones added."""
    if "environment" not in above:
        return dict(above)
    return {**above, "environment": {**below.get("environment", {}), **above["environment"]}}


def _table(path: str, content: bytes) -> dict[str, Any]:
    """Return what a TOML file says."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        return tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DescriptionError(f"{path} is not UTF-8 (at line {line}); save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise DescriptionError(
            f"{path} is not TOML: {error}; text wants quotes, lists want brackets"
        ) from None


def _sites_in(path: str, table: Mapping[str, Any]) -> dict[str, Mapping[str, object]]:
    """Return the sites of a file, refusing what is in it besides."""
    for key in table:
        if key != "sites":
            raise DescriptionError(
                f"{path} has {key!r}; {suggestion(key, ('sites',))} Each site is a section [sites.name]",
                key=key,
            )
    sites = table.get("sites", {})
    if not isinstance(sites, dict):
        raise DescriptionError(f"{path}: sites is {sites!r}; write sections [sites.name]", key="sites")
    for name, settings in sites.items():
        if not _NAME.fullmatch(name) or not isinstance(settings, dict):
            raise DescriptionError(
                f"{path}: {name!r} under 'sites' is no site; write sections [sites.name], with names made of letters, "
                "digits, '.', '_' and '-'",
                key=name,
            )
    return sites


def _distrust(path: str, found: os.stat_result) -> str:
    """Say why somebody else may have written an open file; empty when nobody can have."""
    if found.st_uid not in (os.geteuid(), 0):
        return (
            f"it belongs to user number {found.st_uid}, not to you; copy what you trust into a file of yours"
        )
    loose = found.st_mode & stat.S_IWOTH or (
        found.st_mode & stat.S_IWGRP and not _is_ours_alone(found.st_gid)
    )
    if loose:
        return f"other users can write to it; look through it, then type: chmod go-w {path}"
    return ""


def _is_ours_alone(group: int) -> bool:
    """Whether a group is the one that many systems give each user, so that its members are no others."""
    import grp
    import pwd

    try:
        user, members = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return members.gr_name == user.pw_name and group == user.pw_gid and set(members.gr_mem) <= {user.pw_name}
