"""What all descriptions share: a table of keys with their checks, and a dict whose keys are attributes, too.

The tables themselves are in :mod:`pilot_protocol.compute_descriptions` and :mod:`pilot_protocol.data_descriptions`.
Invariant: what ``validate`` returns has known keys only, is normalized, and shares nothing that the caller may change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from .checks import Check, shown, suggestion
from .errors import DescriptionError, UnknownKeyError
from .user_warnings import warn_deprecated


@dataclass(frozen=True)
class Schema:
    """The keys of one kind of description."""

    name: str
    """Of the public class, for messages."""
    checks: Mapping[str, Check]
    required: Mapping[str, str] = field(default_factory=dict)
    """Keys that must be given, with what to give."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """BigJob's keys that have another name now, with that name."""
    ignored: Mapping[str, str] = field(default_factory=dict)
    """BigJob's keys that have no meaning, with what to do instead."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Keys that must not be given, with what to do instead; their values are secrets and stay out of messages."""


def validate(schema: Schema, description: Mapping[str, object]) -> dict[str, Any]:
    """Return the normalized payload of a description: the keys that were given, in a form that JSON can say.

    None and empty text count as not given.

    Raises:
        DescriptionError: A key is unknown or missing, or a value is not allowed.
    """
    if not isinstance(description, (dict, Mapping)):
        raise DescriptionError(f"{shown(description)} is no description; give a dict or a {schema.name}")
    checks = schema.checks
    payload: dict[str, Any] = {}
    for key, value in description.items():
        name = key if key in checks else _present_key(schema, key, description)
        if name is not None and _is_given(value):
            payload[name] = checks[name](name, value)
    for key, what in schema.required.items():
        if key not in payload:
            raise DescriptionError(f"{schema.name} has no {key!r}; give {what}", key=key)
    return payload


def _present_key(schema: Schema, key: str, description: Mapping[str, object]) -> str | None:
    """Return the name that an old key has now; None when it has no meaning, or its present name is given, too."""
    check_key(schema, key)
    if key in schema.ignored:
        warn_deprecated(f"{schema.name}: {key!r} is ignored; {schema.ignored[key]}")
        return None
    name = schema.renamed[key]
    warn_deprecated(f"{schema.name}: {key!r} is old; use {name!r}")
    return None if _is_given(description.get(name)) else name


def _is_given(value: object) -> bool:
    return value is not None and not (isinstance(value, str) and not value)


def check_key(schema: Schema, key: str) -> None:
    """Refuse a key that a description cannot have.

    Raises:
        UnknownKeyError: No description of this kind has it, or its value would be a secret.
    """
    if key in schema.checks or key in schema.renamed or key in schema.ignored:
        return
    if key in schema.refused:
        raise UnknownKeyError(f"{schema.name} takes no {key!r}; {schema.refused[key]}", key=key)
    advice = suggestion(str(key), tuple(schema.checks))
    raise UnknownKeyError(f"{schema.name} has no key {key!r}; {advice}", key=key)


OneKind = TypeVar("OneKind", bound="Description")  # typing.Self exists since Python 3.11 only


class Description(dict[str, Any]):
    """A dict whose keys are attributes, too: ``d["output"] = "out"`` and ``d.output = "out"`` are the same.

    An unknown key is refused at once; a known one that is not set reads as None when it is read as an attribute.
    Values are checked when the description is used.

    Args:
        *given: A mapping, or pairs of key and value, as for ``dict``.
        **more: Further keys.

    Raises:
        DescriptionError: A key is unknown.
    """

    __slots__ = ()
    schema: ClassVar[Schema]

    def __init__(self, *given: Mapping[str, Any] | Iterable[tuple[str, Any]], **more: Any) -> None:
        super().__init__()
        self.update(*given, **more)

    def __setitem__(self, key: str, value: Any) -> None:
        check_key(self.schema, key)
        super().__setitem__(key, value)

    def update(self, *given: Any, **more: Any) -> None:
        """Set keys, as ``dict.update`` does."""
        for key, value in dict(*given, **more).items():
            self[key] = value

    def __ior__(self: OneKind, other: Any) -> OneKind:  # type: ignore[override,misc]  # noqa: PYI019
        self.update(other)
        return self

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, and set it first when it is absent."""
        if key not in self:
            self[key] = default
        return self[key]

    def copy(self: OneKind) -> OneKind:  # noqa: PYI019
        """Return a description of the same kind with the same values."""
        return type(self)(self)

    def __getattr__(self, name: str) -> Any:
        check_key(self.schema, name)
        return self.get(name)

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        check_key(self.schema, name)
        self.pop(name, None)

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *self.schema.checks]
