"""What may come next: tables after FROM, their columns elsewhere, playbooks and their parameters after ``.run``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from prompt_toolkit.completion import Completer, Completion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.document import Document

    from pipeline.sandbox.catalogue import Catalogue
    from pipeline.warehouse import SqlFile

KEYWORDS = (
    "select", "from", "where", "group by", "order by", "limit", "with", "having", "qualify", "join", "left join",
    "using", "on", "as", "and", "or", "not", "in", "is null", "is not null", "between", "like", "ilike", "case",
    "when", "then", "else", "end", "distinct", "union all", "describe", "summarize", "show tables", "count", "sum",
    "avg", "min", "max", "median", "desc", "asc", "interval", "exists", "over", "partition by", "filter", "unnest",
)  # fmt: skip
_WORD = re.compile(r"[\w.]*$")
_AFTER_FROM = re.compile(r"\b(?:from|join|describe|summarize)\s+(?:[\w.]+\s*,\s*)*[\w.]*$", re.IGNORECASE)
_NAMED = re.compile(r"\b(?:from|join|,)\s*([a-z_][\w.]*)(?:\s+(?:as\s+)?([a-z_]\w*))?", re.IGNORECASE)


class ShellCompleter(Completer):
    """Completes for one session's catalogue.

    Parameters
    ----------
    commands
        Dot commands and what each does.
    """

    def __init__(
        self, catalogue: Catalogue, playbooks: Mapping[str, SqlFile], commands: Mapping[str, str]
    ) -> None:
        self._catalogue = catalogue
        self._playbooks = playbooks
        self._commands = commands

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        """Candidates for the word before the cursor, best first."""
        del complete_event
        text = document.text_before_cursor
        yield from (
            self._of_command(text) if text.lstrip().startswith(".") else self._of_query(text, document.text)
        )

    def _of_command(self, text: str) -> Iterator[Completion]:
        words = text.lstrip().split(" ")
        if len(words) == 1:
            yield from _matching(words[0], ((name, about) for name, about in self._commands.items()))
        elif words[0] in {".run", ".show", ".playbooks"} and len(words) == 2:
            yield from _matching(
                words[1], ((name, file.header["question"]) for name, file in self._playbooks.items())
            )
        elif words[0] == ".run" and words[1] in self._playbooks:
            given = {word.partition("=")[0] for word in words[2:-1]}
            yield from _matching(
                words[-1],
                (
                    (f"{each.name}=", each.description)
                    for each in self._playbooks[words[1]].parameters
                    if each.name not in given
                ),
            )
        elif words[0] == ".schema" and len(words) == 2:
            yield from _matching(words[1], self._tables())
        elif words[0] == ".format" and len(words) == 2:
            yield from _matching(words[1], ((name, "") for name in ("table", "csv", "json")))

    def _of_query(self, before: str, whole: str) -> Iterator[Completion]:
        match = _WORD.search(before)
        word = match[0] if match else ""
        if _AFTER_FROM.search(before):
            yield from _matching(word, self._tables())
            yield from _matching(
                word, ((f"{m.name}(", m.comment) for m in self._catalogue.macros.values() if m.table)
            )
            return
        read = self._read(whole)
        owner, dot, column = word.rpartition(".")
        if dot and owner in read:
            yield from _matching(column, self._columns(read[owner]))
            return
        if dot:
            yield from _matching(word, self._tables())
            return
        if not word:
            return
        # Columns of the tables that the query names come first; all others would be noise.
        for name in dict.fromkeys(read.values()):
            yield from _matching(word, self._columns(name))
        yield from _matching(
            word, ((f"{m.name}(", m.comment) for m in self._catalogue.macros.values() if not m.table)
        )
        yield from _matching(word, self._tables())
        yield from _matching(word, ((keyword, "") for keyword in KEYWORDS))

    def _tables(self) -> Iterator[tuple[str, str]]:
        for name, relation in self._catalogue.relations.items():
            yield name, relation.comment

    def _columns(self, name: str) -> Iterator[tuple[str, str]]:
        yield from self._catalogue.relations[name].columns

    def _read(self, text: str) -> dict[str, str]:
        """Tables that the query names, by name and by alias."""
        found: dict[str, str] = {}
        for name, alias in _NAMED.findall(text):
            lower = name.lower()
            if lower in self._catalogue.relations:
                found[lower] = lower
                if alias:
                    found[alias.lower()] = lower
        return found


def _matching(word: str, candidates: Iterable[tuple[str, str]]) -> Iterator[Completion]:
    lower = word.lower()
    for name, about in candidates:
        if name.lower().startswith(lower):
            yield Completion(name, start_position=-len(word), display_meta=about.split("\n")[0][:80])
