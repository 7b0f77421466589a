"""Descriptions of Pilot-Data and of data units: their keys, and what their values mean together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .checks import choice, fault, path, positive_number, text, whole_number
from .descriptions import Description, Schema, validate
from .references import file_urls, storage_url, without_password

CHECKSUMS = ("sha256", "none")
SSH_CLIENTS = ("builtin", "openssh")

_CREDENTIALS = "name a 'profile' of ~/.aws/credentials instead; credentials are never stored in Redis"


def _key_file(key: str, value: object) -> str:
    """Check the path of a key; the key itself is a secret and stays out of the message."""
    if isinstance(value, str) and ("\n" in value or "PRIVATE KEY" in value):
        raise fault(key, "is a key itself; give the path of its file")
    return path(key, value)


def _endpoint(key: str, value: object) -> str:
    return without_password(key, text(key, value))


PILOT_DATA_SCHEMA = Schema(
    name="PilotDataDescription",
    required={"service_url": "the URL of the storage, like file:///data/pilot or s3://bucket"},
    checks={
        "service_url": storage_url,
        "size": positive_number,
        "affinity_datacenter_label": text,
        "affinity_machine_label": text,
        "userkey": _key_file,
        "profile": text,
        "endpoint_url": _endpoint,
        "region": text,
        "ssh_client": choice(*SSH_CLIENTS),
    },
    refused={"access_key_id": _CREDENTIALS, "secret_access_key": _CREDENTIALS},
)

DATA_UNIT_SCHEMA = Schema(
    name="DataUnitDescription",
    checks={
        "file_urls": file_urls,
        "affinity_datacenter_label": text,
        "affinity_machine_label": text,
        "number_of_replicas": whole_number(1),
        "name": text,
        "checksum": choice(*CHECKSUMS),
    },
    ignored={"file_url_patterns": "patterns like 'data/*.txt' belong into 'file_urls'"},
)


class PilotDataDescription(Description):
    """Where a Pilot-Data keeps its files, and how much of them; each key is an attribute, too."""

    __slots__ = ()
    schema = PILOT_DATA_SCHEMA


class DataUnitDescription(Description):
    """Which files a data unit has and where they shall be; each key is an attribute, too."""

    __slots__ = ()
    schema = DATA_UNIT_SCHEMA


def validate_pilot_data(description: Mapping[str, object]) -> dict[str, Any]:
    """Return the normalized payload of a Pilot-Data's description; ``size`` is in MB.

    Raises:
        DescriptionError: A key is unknown or missing, or a value is not allowed.
    """
    return validate(PILOT_DATA_SCHEMA, description)


def validate_data_unit(description: Mapping[str, object]) -> dict[str, Any]:
    """Return the normalized payload of a data unit's description; one without files is empty, to be filled later.

    Raises:
        DescriptionError: A key is unknown, or a value is not allowed.
    """
    return validate(DATA_UNIT_SCHEMA, description)
