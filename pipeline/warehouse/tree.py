"""The files under ``sql/``: their headers, their statements, and the order in which they load.

A file is a comment header, one statement, and for a macro its tests below a ``-- Tests`` line. The header
is what an analyst reads and what the checks read: its ``reads`` gives the loading order, its ``parameters``
give names, types and defaults of a playbook.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

LAYERS = ("macros", "views", "playbooks")

_KEY = re.compile(r"^([a-z][a-z ]*):\s*(.*)$")
_PARAMETER = re.compile(
    r"^(?P<name>[a-z_][a-z0-9_]*)\s+(?P<type>[a-z]+)(?:\s*=\s*(?P<default>[^:]*?(?::\d\d)*))?\s*:\s+(?P<description>.+)$"
)
_TESTS = "\n-- Tests\n"


def _to_timestamp(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    # The warehouse holds naive UTC only.
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def _to_boolean(text: str) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    return words[text.lower()]


def _to_count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


_CONVERTERS: dict[str, tuple[Callable[[str], object], str]] = {
    "text": (str, "any text"),
    "integer": (_to_count, "a whole number of at least 0"),
    "number": (float, "a number"),
    "boolean": (_to_boolean, "true or false"),
    "timestamp": (_to_timestamp, "a time such as 2026-01-31 or 2026-01-31T08:00:00Z (UTC)"),
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A named parameter of a playbook, as its header declares it.

    ``default`` is the text after ``=``: None means required, ``null`` means absent is allowed.
    """

    name: str
    type: str
    default: str | None
    description: str

    @property
    def required(self) -> bool:
        """Whether a value has to be given."""
        return self.default is None

    def value(self, text: str) -> object:
        """``text`` as a value to bind.

        Raises
        ------
        UsageError
            The text is not of the parameter's type.
        """
        convert, expected = _CONVERTERS[self.type]
        try:
            return convert(text)
        except (ValueError, KeyError):
            msg = f"parameter {self.name} is {text!r}; it has to be {expected} ({self.description})"
            raise UsageError(msg) from None


@dataclass(frozen=True, slots=True)
class SqlFile:
    """One file of the tree.

    Parameters
    ----------
    name
        File name without ``.sql``; also the name of the view or macro it creates.
    layer
        ``macros``, ``views`` or ``playbooks``.
    header
        Lower-case keys in order of appearance; continuation lines are joined by a line break.
    statement
        The one statement, without the tests.
    tests
        What stands below ``-- Tests``; empty when there is nothing.
    text
        The whole file.
    """

    name: str
    layer: str
    header: Mapping[str, str]
    parameters: tuple[Parameter, ...]
    statement: str
    tests: str
    text: str

    @property
    def reads(self) -> tuple[str, ...]:
        """Relations and macros it reads, as its header says."""
        return tuple(word.strip() for word in self.header.get("reads", "").split(",") if word.strip())

    def bind(self, given: Mapping[str, str]) -> dict[str, object]:
        """Values for every declared parameter, from texts and defaults.

        Raises
        ------
        UsageError
            A parameter is unknown, missing or of the wrong type.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in given:
            if name not in known:
                raise UsageError(_unknown(f"{self.name} has no parameter {name!r}", name, known, "it takes"))
        values: dict[str, object] = {}
        for parameter in self.parameters:
            if parameter.name in given:
                values[parameter.name] = parameter.value(given[parameter.name])
            elif parameter.default is None:
                msg = (
                    f"{self.name} needs {parameter.name} ({parameter.description}); "
                    f"give it as --param {parameter.name}=VALUE"
                )
                raise UsageError(msg)
            else:
                values[parameter.name] = (
                    None if parameter.default == "null" else parameter.value(parameter.default)
                )
        return values


def _unknown(what: str, name: str, known: Iterable[str], otherwise: str) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if near:
        return f"{what}; did you mean {' or '.join(near)}?"
    return f"{what}; {otherwise} {', '.join(names) if names else 'none'}"


def parse(name: str, layer: str, text: str) -> SqlFile:
    """Split a file into header, statement and tests.

    Raises
    ------
    UsageError
        A line of the parameter list cannot be read.
    """
    header: dict[str, str] = {}
    key = ""
    lines = text.splitlines()
    body_start = 0
    for number, line in enumerate(lines):
        if not line.startswith("--"):
            body_start = number
            break
        content = line[2:].rstrip()
        match = _KEY.match(content.strip())
        # A continuation is indented by more than the one blank after the dashes.
        if match and not content.startswith("   "):
            key = match.group(1)
            header[key] = match.group(2)
        elif key:
            header[key] = f"{header[key]}\n{content.strip()}".strip("\n")
    body = "\n".join(lines[body_start:])
    # Only macros carry tests; elsewhere the words are somebody's comment.
    statement, _, tests = body.partition(_TESTS) if layer == "macros" else (body, "", "")
    parameters = tuple(_parameter(name, line) for line in _parameter_lines(layer, header))
    return SqlFile(name, layer, MappingProxyType(header), parameters, statement.strip(), tests.strip(), text)


def _parameter_lines(layer: str, header: Mapping[str, str]) -> list[str]:
    if layer != "playbooks" or header.get("parameters", "none") == "none":
        return []
    return header["parameters"].splitlines()


def _parameter(file: str, line: str) -> Parameter:
    match = _PARAMETER.match(line)
    if match is None or match["type"] not in _CONVERTERS:
        types = ", ".join(_CONVERTERS)
        msg = f"{file}: parameter line {line!r} is not 'name type [= default]: description' with a type of {types}"
        raise UsageError(msg)
    default = match["default"]
    return Parameter(
        match["name"], match["type"], None if default is None else default.strip(), match["description"]
    )


@cache
def load_tree() -> Mapping[str, tuple[SqlFile, ...]]:
    """Every file of the tree by layer, sorted by name. Read once: the files are part of the program."""
    root = resources.files("sql")
    layers: dict[str, tuple[SqlFile, ...]] = {}
    for layer in LAYERS:
        entries = sorted((entry for entry in root.joinpath(layer).iterdir()), key=lambda entry: entry.name)
        layers[layer] = tuple(
            parse(entry.name.removesuffix(".sql"), layer, entry.read_text(encoding="utf-8"))
            for entry in entries
            if entry.name.endswith(".sql")
        )
    return MappingProxyType(layers)


def loading_order(files: Iterable[SqlFile]) -> list[SqlFile]:
    """The files so that each comes after those it reads.

    Raises
    ------
    UsageError
        Files read each other in a circle.
    """
    by_name = {file.name: file for file in files}
    ordered: list[SqlFile] = []
    state: dict[str, int] = {}

    def visit(file: SqlFile) -> None:
        if state.get(file.name) == 2:
            return
        if state.get(file.name) == 1:
            msg = f"sql/{file.layer}/{file.name}.sql reads itself by way of others; break the circle"
            raise UsageError(msg)
        state[file.name] = 1
        for name in file.reads:
            if name in by_name:
                visit(by_name[name])
        state[file.name] = 2
        ordered.append(file)

    for file in by_name.values():
        visit(file)
    return ordered


def playbook(name: str) -> SqlFile:
    """The playbook of this name.

    Raises
    ------
    UsageError
        There is none; the message lists near names.
    """
    known = {file.name: file for file in load_tree()["playbooks"]}
    if name not in known:
        raise UsageError(_unknown(f"there is no playbook {name!r}", name, known, "there are"))
    return known[name]
