"""The STIX 2.1 objects we make: ids that equal input repeats, and the one kind of observable that STIX has not."""

from __future__ import annotations

import uuid
from functools import cache
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError
from pipeline.lake.documents import canonical

if TYPE_CHECKING:
    from datetime import datetime

NAMESPACE = uuid.UUID("6f1e7c2a-7c0d-5b0e-9a53-0d2b7f6f3a11")
"""Of the UUIDv5 of every object that we make."""

EXTENSION = f"extension-definition--{uuid.uuid5(NAMESPACE, 'hashed-identifier')}"
OBSERVABLE = "x-distillwatch-identifier"
SCHEMA = "distillwatch: docs/case-files.md#indicators"
TLP = {
    "clear": "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9",
    "green": "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da",
    "amber": "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82",
    "red": "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed",
}
"""Fixed by the standard: its TLP:WHITE is today's TLP:CLEAR."""


def object_id(kind: str, *about: object) -> str:
    """The id of an object about something: UUIDv5, so that equal input gives equal ids.

    Examples
    --------
    >>> object_id("campaign", "a") == object_id("campaign", "a") != object_id("campaign", "b")
    True
    """
    return f"{kind}--{uuid.uuid5(NAMESPACE, canonical([kind, *about]).decode())}"


@cache
def stix() -> Any:
    """The library, with our observable known to it.

    Raises
    ------
    UsageError
        It is not installed.
    """
    try:
        import stix2
    except ImportError as error:
        msg = "indicators need the package stix2; install it with `pip install 'distillwatch[investigate]'`"
        raise UsageError(msg) from error
    identifier_class(stix2)
    return stix2


@cache
def identifier_class(stix2: Any) -> Any:
    """The observable of a hashed identifier: what it identifies, and its HMAC."""
    from stix2 import properties

    @stix2.CustomObservable(
        OBSERVABLE,
        [
            ("kind", properties.StringProperty(required=True)),
            ("hmac_sha256", properties.HexProperty(required=True)),
        ],
        ["kind", "hmac_sha256"],
        extension_name=EXTENSION,
    )
    class Identifier:
        pass

    return Identifier


def seconds(time: datetime) -> str:
    """A naive UTC time as STIX writes it."""
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}Z"
