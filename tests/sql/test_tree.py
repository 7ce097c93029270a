"""What holds for every file under sql/."""

from __future__ import annotations

import re
from importlib import resources

import duckdb
import pytest

from pipeline.errors import UsageError
from pipeline.spaces import EmbeddingSpace
from pipeline.warehouse import index
from pipeline.warehouse.relations import described_relations, landed_relations
from pipeline.warehouse.tree import LAYERS, SqlFile, load_tree, loading_order, parse

TREE = load_tree()
FILES = [file for layer in LAYERS for file in TREE[layer]]
every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.layer}/{file.name}")
every_playbook = pytest.mark.parametrize("file", TREE["playbooks"], ids=lambda file: file.name)

REQUIRED = {
    "macros": {"name", "question", "grain", "reads"},
    "views": {"name", "question", "grain", "reads"},
    "playbooks": {
        "name", "question", "parameters", "grain", "reads", "detects", "does not detect", "false positives", "next step",
    },
}  # fmt: skip
CONTRACT = {
    "windows", "profiles", "account_scores", "clusters", "cluster_scores", "cluster_edges", "cluster_changes", "alerts", "records", "segments",
    "window_deltas", "window_files", "dead_letters", "reference_populations", "verdicts", "standing_verdicts", "manifest",
}  # fmt: skip
RAW = {f"raw.{name}" for name in (*landed_relations(EmbeddingSpace()), *described_relations())}
KNOWN = RAW | {file.name for layer in ("views", "macros") for file in TREE[layer]}


def code(file: SqlFile) -> str:
    """The statement without comments and string literals."""
    return re.sub(r"'[^']*'", "''", re.sub(r"--[^\n]*", "", file.statement))


def test_the_tree_holds_files_of_every_layer_and_at_least_twenty_five_playbooks() -> None:
    assert {file.name for file in TREE["views"]} == CONTRACT
    assert len(TREE["macros"]) >= 20
    assert len(TREE["playbooks"]) >= 25


def test_nothing_but_sql_and_readmes_lies_in_the_tree() -> None:
    root = resources.files("sql")
    names = [entry.name for layer in LAYERS for entry in root.joinpath(layer).iterdir()]
    assert [name for name in names if not name.endswith(".sql") and name != "README.md"] == []


@every_file
def test_the_header_is_complete_and_names_the_file(file: SqlFile) -> None:
    assert REQUIRED[file.layer] <= set(file.header), "keys are missing"
    assert file.header["name"] == file.name
    assert file.header["question"].endswith("?")
    empty = [key for key in REQUIRED[file.layer] - {"reads"} if not file.header[key].strip()]
    assert empty == []


@every_file
def test_it_is_one_statement_that_creates_what_the_file_is_called(file: SqlFile) -> None:
    statements = duckdb.connect().extract_statements(file.statement)
    assert len(statements) == 1
    if file.layer == "playbooks":
        assert statements[0].type.name == "SELECT"
    else:
        kind = file.layer.removesuffix("s")
        assert re.match(rf"create {kind} {file.name}\b", file.statement), "the file creates something else"


@every_file
def test_it_reads_what_its_header_says_and_nothing_else(file: SqlFile) -> None:
    text = code(file)
    used = {name for name in KNOWN if re.search(rf"(?<![\w.$]){re.escape(name)}(?![\w])", text)}
    # A column, an alias and the file itself may bear the name of a relation or macro: count only real uses.
    relations = {name for name in used if re.search(rf"\b(?:from|join)\s+{re.escape(name)}\b", text)}
    macros = {name for name in used if re.search(rf"(?<![\w.]){re.escape(name)}\s*\(", text)} - {file.name}
    if file.layer == "playbooks" and re.search(rf"\bfrom {file.name}\(", text):
        macros.add(file.name)
    assert set(file.reads) == relations | macros


@every_file
def test_no_path_and_no_reading_function_occurs(file: SqlFile) -> None:
    assert not re.search(r"read_\w+\(|parquet|glob\(|\.json'|/tmp|:memory:", file.statement + file.tests)


@every_playbook
def test_the_declared_parameters_are_those_of_the_statement(file: SqlFile) -> None:
    used = duckdb.connect().extract_statements(file.statement)[0].named_parameters
    assert used == {parameter.name for parameter in file.parameters}


@every_playbook
def test_the_next_step_is_there_to_be_taken(file: SqlFile) -> None:
    # A name in backquotes is a playbook, a view or a column that some file gives; a command begins with ours.
    names = re.findall(r"`([a-z0-9_]+)`", file.header["next step"])
    known = {each.name for layer in LAYERS for each in TREE[layer]}
    columns = set(re.findall(r"[a-z0-9_]+", " ".join(code(each) for each in FILES)))
    assert [name for name in names if name not in known | columns] == []
    commands = re.findall(r"`([a-z]+) [^`]*`", file.header["next step"])
    assert set(commands) <= {"distillwatch"}


def instead(file: SqlFile) -> set[str]:
    return set(re.findall(r"`([a-z0-9_]+)`", file.header.get("instead", "")))


@every_playbook
def test_of_two_that_ask_nearly_the_same_each_says_when_to_take_the_other(file: SqlFile) -> None:
    playbooks = {each.name: each for each in TREE["playbooks"]}
    assert instead(file) <= set(playbooks)
    # Figures of case files ask of accounts or clusters what playbooks of one kind ask too, but for vectors.
    needed = file.header["topic"] == "case" and file.name != "case_prompts"
    assert bool(instead(file)) >= needed
    back = [name for name in instead(file) if not instead(playbooks[name])]
    assert back == [], "they do not say when to take this one"


@every_playbook
def test_the_topic_is_one_of_the_index(file: SqlFile) -> None:
    assert index.topic_of(file) == file.header.get("topic", ""), f"topics are {', '.join(index.TOPICS)}"


@every_playbook
def test_the_defaults_are_of_the_declared_types(file: SqlFile) -> None:
    for parameter in file.parameters:
        if parameter.default not in {None, "null"}:
            parameter.value(parameter.default)


@pytest.mark.parametrize("layer", ["macros", "views"])
def test_a_file_loads_after_what_it_reads(layer: str) -> None:
    del layer
    order = [file.name for file in loading_order([*TREE["macros"], *TREE["views"]])]
    for file in (*TREE["macros"], *TREE["views"]):
        for name in file.reads:
            if not name.startswith("raw."):
                assert order.index(name) < order.index(file.name)


def test_files_that_read_each_other_are_refused() -> None:
    one = parse("one", "views", "-- name: one\n-- reads: two\ncreate view one as from two")
    two = parse("two", "views", "-- name: two\n-- reads: one\ncreate view two as from one")
    with pytest.raises(UsageError, match="break the circle"):
        loading_order([one, two])


def test_the_index_of_the_playbooks_is_current() -> None:
    written = (resources.files("sql") / "playbooks" / "README.md").read_text(encoding="utf-8")
    assert written == index.render(), f"run {index.COMMAND}"


def test_only_a_macro_carries_tests() -> None:
    text = "-- name: m\ncreate macro m() as 1;\n\n-- Tests\nselect 1;"
    assert parse("m", "macros", text).tests == "select 1;"
    assert parse("m", "macros", text).statement == "create macro m() as 1;"
    query = "select 1\n-- Tests\n, 2"
    assert parse("the query", "playbooks", query).statement == query


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("account_id text: the account", ("account_id", "text", None, "the account")),
        ("days number = 1.5: how many", ("days", "number", "1.5", "how many")),
        ("topic text = null: or all", ("topic", "text", "null", "or all")),
        (
            "at timestamp = 2026-01-01T08:00:00: from: when",
            ("at", "timestamp", "2026-01-01T08:00:00", "from: when"),
        ),
    ],
)
def test_a_parameter_line_is_name_type_default_and_words(line: str, found: tuple[str | None, ...]) -> None:
    file = parse("x", "playbooks", f"-- parameters:\n--   {line}\nselect 1")
    (parameter,) = file.parameters
    assert (parameter.name, parameter.type, parameter.default, parameter.description) == found


@pytest.mark.parametrize(
    "line", ["account_id", "account_id string: unknown type", "Account text: capital", "a text ="]
)
def test_a_parameter_line_that_cannot_be_read_is_named(line: str) -> None:
    with pytest.raises(UsageError, match="is not 'name type"):
        parse("x", "playbooks", f"-- parameters:\n--   {line}\nselect 1")
