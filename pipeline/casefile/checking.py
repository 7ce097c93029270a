"""Checking a case file without the lake: is its document what its digest says, and does the page say the same."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.casefile.page import render
from pipeline.errors import UsageError
from pipeline.lake.segments import code_fingerprint

if TYPE_CHECKING:
    from pathlib import Path

_DATA = re.compile(r'<script type="application/json" id="case-data">(.*?)</script>', re.DOTALL)
_DIGEST = re.compile(r'<meta name="case-data-sha256" content="([0-9a-f]{64})">')


@dataclass(frozen=True, slots=True)
class Checked:
    """``differences`` in words, empty: none was found. ``same_code``: the page was drawn by this very version."""

    subject: str
    digest: str
    differences: tuple[str, ...]
    same_code: bool


def check(path: Path) -> Checked:
    """Hold a case file against its own digest, and draw its page again.

    Raises
    ------
    UsageError
        It is not a case file.
    """
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read as a case file: {error}"
        raise UsageError(msg) from error
    data, stated = _DATA.search(text), _DIGEST.search(text)
    if data is None or stated is None:
        msg = f"{path} is not a case file: it carries no document with a digest"
        raise UsageError(msg)
    digest = hashlib.sha256(data[1].encode()).hexdigest()
    differences = []
    if digest != stated[1]:
        differences.append(f"the document has SHA-256 {digest}, the file says {stated[1]}: it was altered")
    try:
        document = json.loads(data[1])
        subject, code = str(document["subject"]["id"]), document["provenance"]["code"]
        again = render(document)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        differences.append(f"the document cannot be read: {error!r}")
        return Checked("?", digest, tuple(differences), same_code=False)
    same = code == code_fingerprint()
    if again != text and same and not differences:
        at = next(
            (i for i, (a, b) in enumerate(zip(again, text, strict=False)) if a != b),
            min(len(again), len(text)),
        )
        line = text.count("\n", 0, at) + 1
        differences.append(
            f"the page is not what its document gives: it differs first in line {line} ({text[max(0, at - 30) : at + 30]!r})"
        )
    return Checked(subject, digest, tuple(differences), same_code=same)
