"""Checking a case file without the lake: is its document what its digest says, and does the page say the same."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

from pipeline.casefile.page import render
from pipeline.errors import UsageError
from pipeline.lake.segments import code_fingerprint

if TYPE_CHECKING:
    from pathlib import Path

_DATA = re.compile(r'<script type="application/json" id="case-data">(.*?)</script>', re.DOTALL)
_DIGEST = re.compile(r'<meta name="case-data-sha256" content="([0-9a-f]{64})">')


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found, and what could not be looked for.

    Parameters
    ----------
    differences
        In words: what was altered. Empty: nothing of what was checked.
    drawn_by
        Version and code that the document names.
    unchecked
        Why the page was not held against its document, in words; None: it was, byte for byte.
    other_words
        What the page shows and what this version would show, where the two differ; only where ``unchecked``.
    """

    subject: str
    digest: str
    differences: tuple[str, ...]
    drawn_by: str
    unchecked: str | None = None
    other_words: tuple[tuple[str, str], ...] = ()


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
        subject, code = str(document["subject"]["id"]), str(document["provenance"]["code"])
    except (ValueError, LookupError, TypeError) as error:
        differences.append(f"the document cannot be read: {error!r}")
        return Checked("?", digest, tuple(differences), "?")
    again = _drawn_again(document)
    if again == text or (digest != stated[1] and isinstance(again, str)):
        return Checked(subject, digest, tuple(differences), code)
    if code != code_fingerprint():
        if not isinstance(again, str):
            why = f"this version cannot draw its document ({again!r})"
            return Checked(subject, digest, tuple(differences), code, why)
        other = _other_words(text, again)
        why = (
            f"drawn again from the data by this version, other words or figures stand in {len(other):,} places"
            if other
            else "drawn again from the data by this version, the words and figures are the same, but markup, styles or drawings are not"
        )
        return Checked(subject, digest, tuple(differences), code, why, tuple(other))
    differences.append(
        _first_difference(text, again)
        if isinstance(again, str)
        else f"the document cannot be drawn: {again!r}"
    )
    return Checked(subject, digest, tuple(differences), code)


def _drawn_again(document: Any) -> str | Exception:
    """The page of a document that may be any version's, or anybody's; else why it cannot be drawn."""
    try:
        return render(document)
    except UsageError:
        raise
    except Exception as error:
        # Whatever it is, it comes from the document.
        return error


def _first_difference(text: str, again: str) -> str:
    at = next(
        (i for i, (a, b) in enumerate(zip(again, text, strict=False)) if a != b), min(len(again), len(text))
    )
    line = text.count("\n", 0, at) + 1
    return f"the page is not what its document gives: it differs first in line {line} ({text[max(0, at - 30) : at + 30]!r})"


def _other_words(text: str, again: str) -> list[tuple[str, str]]:
    """Where two pages show other words: (the one, the other), in order."""
    mine, other = _shown(text), _shown(again)
    changes = SequenceMatcher(None, mine, other, autojunk=False).get_opcodes()
    return [(" ".join(mine[a:b]), " ".join(other[c:d])) for kind, a, b, c, d in changes if kind != "equal"]


def _shown(page: str) -> list[str]:
    """The texts of a page in order, those in drawings too, without styles and data."""
    reader = _Texts(convert_charrefs=True)
    reader.feed(page)
    reader.close()
    return reader.texts


class _Texts(HTMLParser):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.texts: list[str] = []

    def handle_data(self, data: str) -> None:
        # A style or the data is no text that is read.
        if self.cdata_elem not in {"style", "script"}:
            self.texts += [line for each in data.split("\n") if (line := " ".join(each.split()))]
