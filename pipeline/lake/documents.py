"""Canonical JSON and digests: the same content has the same bytes and the same name."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def canonical(document: Any) -> bytes:
    """JSON with sorted keys and no spaces.

    Examples
    --------
    >>> canonical({"b": 1, "a": None})
    b'{"a":null,"b":1}'
    """
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def readable(document: Any) -> bytes:
    """JSON for files that people open."""
    return (json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


def digest(data: bytes) -> str:
    """BLAKE2b-256 in hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def file_digest(path: Path) -> str:
    """BLAKE2b-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=32)).hexdigest()
