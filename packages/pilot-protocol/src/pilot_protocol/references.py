"""Checks of what a description refers to: other compute units, data units with patterns of file names, and URLs.

An object like a compute unit or a data unit is known by its text ``id`` or ``url``, not by its class: the classes are
in packages that import this one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from .checks import Check, fault, listed, non_empty, path, shown, suggestion, text, text_list
from .user_warnings import warn_deprecated

ALL_FILES = "*"
REMOTE_WAYS = ("ssh", "gsissh")
"""How a scheme may be reached from afar: ``slurm+ssh``."""


def id_of(value: object) -> str | None:
    """Return the ``id`` of an object, None when it has none that is text."""
    found = getattr(value, "id", None)
    return found if isinstance(found, str) else None


def _url_of(value: object) -> str | None:
    found = getattr(value, "url", None)
    if found is None:
        ask = getattr(value, "get_url", None)
        found = ask() if callable(ask) else None
    return found if isinstance(found, str) else None


def unit_ids(key: str, value: object) -> list[str]:
    """Check predecessors: ids, or objects with an id; each is kept once."""
    if isinstance(value, (set, frozenset)):
        value = list(value)
    ids: dict[str, None] = {}
    for index, item in enumerate(listed(key, value, "compute units or their ids")):
        place = f"{key}[{index}]"
        name = item if isinstance(item, str) else id_of(item)
        if name is None:
            raise fault(place, f"is {shown(item)}; a compute unit or its id is allowed", item)
        ids[non_empty(place, text(place, name))] = None
    return list(ids)


def input_data(key: str, value: object) -> dict[str, list[str]]:
    """Check what is staged in: data units, or ``{data unit: [patterns]}``; returns patterns by URL."""
    return _patterns_by_url(key, value, whole_units=True)


def output_data(key: str, value: object) -> dict[str, list[str]]:
    """Check what is staged out: ``[{data unit: [patterns]}]``; returns patterns by URL."""
    return _patterns_by_url(key, value, whole_units=False)


def _patterns_by_url(key: str, value: object, *, whole_units: bool) -> dict[str, list[str]]:
    items = (
        [value]
        if isinstance(value, Mapping)
        else listed(key, value, "data units with patterns of file names")
    )
    found: dict[str, list[str]] = {}
    for index, item in enumerate(items):
        place = f"{key}[{index}]"
        if not isinstance(item, Mapping) and not whole_units:
            raise fault(place, f"is {shown(item)}; give {{data unit: ['pattern', ...]}}", item)
        for unit, patterns in _with_patterns(item):
            known = found.setdefault(_data_unit(place, unit), [])
            known.extend(pattern for pattern in _patterns(place, patterns) if pattern not in known)
    return found


def _with_patterns(item: object) -> list[tuple[object, object]]:
    return list(item.items()) if isinstance(item, Mapping) else [(item, [ALL_FILES])]


def _patterns(place: str, value: object) -> list[str]:
    """Check patterns of one data unit; returns them as its paths are written, without ``./`` and slashes at the end."""
    if not isinstance(value, (list, tuple)):
        raise fault(
            place, f"has {shown(value)} for a data unit; give a list of patterns, like ['*.dat']", value
        )
    if not value:
        raise fault(place, "has no pattern for a data unit; give one at least, '*' for all files", value)
    found = text_list(place, value)
    return [_pattern(f"{place}[{index}]", pattern) for index, pattern in enumerate(found)]


def _pattern(place: str, pattern: str) -> str:
    parts = pattern.split("/")
    if not parts[0] or ".." in parts:
        raise fault(
            place, f"is {shown(pattern)}, which no file matches; patterns are relative, without '..'", pattern
        )
    return "/".join(part for part in parts if part not in {"", "."}) or ALL_FILES


def _data_unit(place: str, unit: object) -> str:
    url = unit if isinstance(unit, str) else _url_of(unit)
    if url is None:
        raise fault(place, f"is {shown(unit)}; a data unit or its URL is allowed", unit)
    return non_empty(place, text(place, url))


def file_urls(key: str, value: object) -> list[str]:
    """Check a list of files, folders and globs: local paths or URLs without a password."""
    items = enumerate(listed(key, value, "paths or URLs"))
    return [_file_url(f"{key}[{index}]", item) for index, item in items]


def _file_url(place: str, item: object) -> str:
    url = non_empty(place, path(place, item))
    return without_password(place, url) if "://" in url else url


def service_url(schemes: Collection[str]) -> Check:
    """Return a check for a URL with one of these schemes; BigJob's old ``pbs-ssh`` becomes ``pbs+ssh``."""

    def check(key: str, value: object) -> str:
        url = without_password(key, text(key, value))
        scheme, separator, rest = url.partition("://")
        if not separator:
            raise fault(key, f"is {shown(url)}, which is no URL; give one like fork://localhost", url)
        name = _present_scheme(scheme.lower())
        if name not in schemes:
            raise fault(key, f"has the unknown scheme {scheme!r}; {suggestion(name, schemes)}", url)
        return f"{name}://{rest}"

    return check


def storage_url(key: str, value: object) -> str:
    """Check the URL of a storage. Which schemes there are is known where the adaptors are: those of others may be added."""
    url = without_password(key, text(key, value))
    scheme, separator, rest = url.partition("://")
    if not separator or not scheme:
        raise fault(
            key, f"is {shown(url)}, which is no URL; give one like file:///data/pilot or s3://bucket", url
        )
    return f"{scheme.lower()}://{rest}"


def _present_scheme(name: str) -> str:
    base, dash, way = name.rpartition("-")
    if not dash or way not in REMOTE_WAYS:
        return name
    warn_deprecated(f"the scheme {name!r} is now {base}+{way}")
    return f"{base}+{way}"


def without_password(key: str, url: str) -> str:
    """Return the URL as it is.

    Raises:
        DescriptionError: It holds a password, which would be stored with the description, or it cannot be read.
    """
    try:
        password = urlsplit(url).password
    except ValueError as error:
        raise fault(key, f"is {shown(url)}, which is no URL: {error}", url) from None
    if password is not None:
        raise fault(key, "holds a password; use a key file, an agent or a profile instead")
    return url
