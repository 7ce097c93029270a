"""Playbooks as forms: the header's words, typed fields with their defaults, and the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.console.grids import grid
from pipeline.console.routes import PageRoute
from pipeline.warehouse import load_tree, playbook

if TYPE_CHECKING:
    from starlette.responses import Response

    from pipeline.console.page import Page
    from pipeline.warehouse import SqlFile
    from pipeline.warehouse.tree import Parameter

PREFIX = "p."
INPUTS = {
    "text": ("text", None),
    "integer": ("number", "1"),
    "number": ("number", "any"),
    "timestamp": ("datetime-local", "1"),
}
SAID = ("detects", "does not detect", "false positives", "instead", "next step")


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a form."""

    name: str
    parameter: Parameter
    kind: str
    step: str | None
    value: str


def asked_of(page: Page, file: SqlFile) -> dict[str, str]:
    """The parameters that an address gives, as texts; empty ones are left to their defaults."""
    # Blanks at the ends of a text, an account's id say, belong to it; around a number they say nothing.
    given = {
        parameter.name: (page.exactly if parameter.type == "text" else page.get)(PREFIX + parameter.name)
        for parameter in file.parameters
    }
    return {name: text for name, text in given.items() if text}


def fields(file: SqlFile, given: dict[str, str]) -> list[Field]:
    """The fields of a playbook's form."""
    found = []
    for parameter in file.parameters:
        kind, step = INPUTS.get(parameter.type, ("select", None))
        default = "" if parameter.default in {None, "null"} else str(parameter.default)
        value = given.get(parameter.name, default)
        if kind == "datetime-local" and len(value) == 10:
            value += "T00:00"
        found.append(Field(PREFIX + parameter.name, parameter, kind, step, value))
    return found


def index(page: Page) -> Response:
    """All playbooks, or one as a form with its answer."""
    name = page.get("name")
    search = page.get("q").lower()
    if not name:
        files = [
            file
            for file in load_tree()["playbooks"]
            if all(
                word in f"{file.name} {file.header.get('question', '')}".lower() for word in search.split()
            )
        ]
        return page.render("playbooks.html", files=files, search=page.get("q"))
    file = playbook(name)
    given = asked_of(page, file)
    ready = all(parameter.name in given for parameter in file.parameters if parameter.required)
    answer, problem = (None, None)
    if page.get("run") or (ready and given):
        answer, problem = page.attempt(lambda: page.playbook(name, **given))
    unknown: list[str] = []
    if answer is not None:
        unknown, problem = page.attempt(lambda: page.unknown_values(answer, given))
    rows: list[dict[str, Any]] = answer.rows() if answer is not None else []
    return page.render(
        "playbook.html",
        file=file,
        said=[(key, file.header[key]) for key in SAID if key in file.header],
        fields=fields(file, given),
        given={PREFIX + key: value for key, value in given.items()},
        answer=answer,
        problem=problem,
        unknown=unknown or [],
        grid=grid(
            page,
            rows,
            caption=file.name,
            truncated=answer.truncated if answer is not None else False,
            names=answer.table.column_names if answer is not None else (),
            without=("embedding",),
        ),
    )


ROUTES = (PageRoute("/playbooks", index),)
