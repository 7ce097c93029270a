"""A bundle from somebody else: read with mistrust, every object that is wrong named."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError
from pipeline.indicators.hashing import KINDS
from pipeline.indicators.objects import OBSERVABLE, TLP, stix
from pipeline.times import from_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

MOST_BYTES = 64 << 20
MOST_OBJECTS = 200_000

_PATTERN = re.compile(
    rf"^\[{OBSERVABLE}:kind = '({'|'.join(KINDS)})' AND {OBSERVABLE}:hmac_sha256 = '([0-9a-f]{{64}})'\]$"
)
_SALT = re.compile(r"^salt:([0-9a-f]{16})$")


@dataclass(frozen=True, slots=True)
class SharedIndicator:
    """One indicator of a bundle; times naive UTC."""

    indicator_id: str
    kind: str
    hashed: str
    confidence: int | None
    valid_from: datetime
    valid_until: datetime | None
    campaign: str | None


@dataclass(frozen=True, slots=True)
class Shared:
    """A bundle that was understood.

    ``foreign`` names indicators whose patterns are not of hashed identifiers: they are not wrong, and not ours to match.
    """

    sender: str
    tlp: str
    indicators: tuple[SharedIndicator, ...]
    foreign: tuple[str, ...]


def read_bundle(data: bytes, salt: str) -> Shared:
    """Check a bundle and give its indicators.

    Parameters
    ----------
    data
        JSON text.
    salt
        Fingerprint of the key that it has to be hashed with.

    Raises
    ------
    UsageError
        It is no bundle, nothing in it is a hashed identifier, or an object in it is wrong; the message names the object.
    """
    objects = _objects(data)
    parsed = {}
    for place, each in enumerate(objects):
        where = _name(place, each)
        one = _parsed(each, where)
        confidence = one.get("confidence")
        # The library takes any number; the standard does not.
        if confidence is not None and not 0 <= int(confidence) <= 100:
            msg = f"{where} is wrong: confidence is {confidence}, it has to lie between 0 and 100"
            raise UsageError(msg)
        if str(one["id"]) in parsed:
            msg = f"{where} is in the bundle twice"
            raise UsageError(msg)
        parsed[str(one["id"])] = one
    _check_references(parsed)
    campaigns = {
        str(one["source_ref"]): str(parsed[str(one["target_ref"])]["name"])
        for one in parsed.values()
        if one["type"] == "relationship" and one["relationship_type"] == "indicates" and str(one["target_ref"]).startswith("campaign--")
    }  # fmt: skip
    found: list[SharedIndicator] = []
    foreign: list[str] = []
    marked: set[str] = set()
    senders: set[str] = set()
    for name, one in sorted(parsed.items()):
        if one["type"] != "indicator":
            continue
        match = _PATTERN.match(str(one["pattern"])) if one["pattern_type"] == "stix" else None
        if match is None:
            foreign.append(name)
            continue
        _check_salt(name, one, salt)
        marked.update(str(each) for each in one.get("object_marking_refs", []))
        senders.add(str(one.get("created_by_ref", "")))
        until = one.get("valid_until")
        valid_from = from_text(one["valid_from"])
        assert valid_from is not None
        found.append(
            SharedIndicator(
                name,
                match[1],
                match[2],
                one.get("confidence"),
                valid_from,
                from_text(until),
                campaigns.get(name),
            )
        )
    if not found:
        what = (
            f"none of its {len(foreign)} indicators is a hashed identifier"
            if foreign
            else "it has no indicator"
        )
        msg = f"{what}, so nothing could match; ask for a bundle that `distillwatch indicators export` made with your key"
        raise UsageError(msg)
    known = {marking: word for word, marking in TLP.items()}
    tlp = max((known[each] for each in marked if each in known), key=list(TLP).index, default="red")
    names = sorted(str(parsed[each]["name"]) for each in senders if each in parsed)
    return Shared(", ".join(names) or "unknown", tlp, tuple(found), tuple(foreign))


def _objects(data: bytes) -> list[Any]:
    if len(data) > MOST_BYTES:
        msg = f"the bundle has {len(data):,} bytes; {MOST_BYTES:,} are the most"
        raise UsageError(msg)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        msg = f"the bundle is not JSON: {error}"
        raise UsageError(msg) from error
    if not isinstance(document, dict) or document.get("type") != "bundle":
        msg = "this is no STIX bundle: it has to be a JSON object with the type 'bundle'"
        raise UsageError(msg)
    objects = document.get("objects", [])
    if not isinstance(objects, list) or len(objects) > MOST_OBJECTS:
        msg = f"the bundle's 'objects' have to be a list of at most {MOST_OBJECTS:,}"
        raise UsageError(msg)
    return objects


def _name(place: int, one: Any) -> str:
    named = one.get("id") if isinstance(one, dict) else None
    return f"object {place + 1} ({str(named)[:120]})" if named else f"object {place + 1} (without an id)"


def _parsed(one: Any, where: str) -> Any:
    library = stix()
    if not isinstance(one, dict) or one.get("spec_version", "2.1") != "2.1":
        msg = f"{where} is no STIX 2.1 object"
        raise UsageError(msg)
    try:
        return library.parse(one, allow_custom=True, version="2.1")
    # The library raises its own errors and, on values of the wrong type, whatever Python does.
    except (
        library.exceptions.STIXError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
    ) as error:
        msg = f"{where} is wrong: {' '.join(str(error).split())[:300]}"
        raise UsageError(msg) from error


def _check_references(parsed: Mapping[str, Any]) -> None:
    for name, one in parsed.items():
        wanted = [one.get(key) for key in ("source_ref", "target_ref") if one["type"] == "relationship"]
        wanted += list(one.get("object_refs", []))
        for each in wanted:
            if str(each) not in parsed:
                msg = f"object {name} refers to {each}, which is not in the bundle"
                raise UsageError(msg)
        if one["type"] == "relationship" and str(one["target_ref"]).startswith("campaign--") and "name" not in parsed[str(one["target_ref"])]:  # fmt: skip
            msg = f"object {one['target_ref']} has no name"
            raise UsageError(msg)


def _check_salt(name: str, one: Any, salt: str) -> None:
    said = [match[1] for label in one.get("labels", []) if (match := _SALT.match(str(label)))]
    if said != [salt]:
        msg = (
            f"object {name} was hashed with key {said[0] if said else 'nobody knows'}, the key given has the fingerprint {salt}; "
            "name the key that you share with this sender"
        )
        raise UsageError(msg)
