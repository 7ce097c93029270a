import base64
import csv
import io
import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import click
import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.cli.output import Format, format_option, plain, print_mappings, print_rows

NAMES = ["account", "seen", "score", "topics"]
ROWS = [
    ["a,b", datetime(2026, 1, 2, 3, 4, 5, 678), 0.25, [1, 2]],
    ["c\nd", None, float("nan"), []],
]


def printed(format_, rows=ROWS, columns=NAMES):
    stream = io.StringIO()
    assert print_rows(columns, rows, format_, stream=stream) == len(rows)
    return stream.getvalue()


def test_json_is_one_array_of_objects():
    assert json.loads(printed("json")) == [
        {"account": "a,b", "seen": "2026-01-02T03:04:05.000678Z", "score": 0.25, "topics": [1, 2]},
        {"account": "c\nd", "seen": None, "score": None, "topics": []},
    ]


def test_csv_reads_back():
    rows = list(csv.reader(io.StringIO(printed("csv"))))
    assert rows == [NAMES, ["a,b", "2026-01-02T03:04:05.000678Z", "0.25", "[1, 2]"], ["c\nd", "", "", "[]"]]


def test_a_table_has_a_line_for_each_row_and_names_the_columns():
    lines = [line for line in printed("table").splitlines() if line.strip()]
    assert all(name in lines[0] for name in NAMES)
    assert len(lines) == 2 + len(ROWS)


@pytest.mark.parametrize(("format_", "expected"), [("json", "[]\n"), ("csv", "account,seen,score,topics\n")])
def test_no_rows_are_still_an_answer(format_, expected):
    assert printed(format_, rows=[]) == expected
    assert "(no rows)" in printed("table", rows=[])


def test_values_of_an_attacker_play_no_tricks_on_a_terminal():
    hostile = "\x1b[2J[bold]x[/bold]\u202e"
    said = printed("table", rows=[[hostile]], columns=["user_agent"])
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert "[bold]x[/bold]" in said
    assert json.loads(printed("json", rows=[[hostile]], columns=["user_agent"])) == [{"user_agent": hostile}]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (date(2026, 1, 2), "2026-01-02"),
        (datetime(2026, 1, 2, 2, tzinfo=timezone(timedelta(hours=2))), "2026-01-02T00:00:00Z"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00Z"),
        (timedelta(minutes=1), 60.0),
        (b"\x00\xff", base64.b64encode(b"\x00\xff").decode()),
        (Decimal("1.10"), "1.10"),
        (np.int64(7), 7),
        (np.float32(0.5), 0.5),
        (np.array([1, 2]), [1, 2]),
        ({"a": (float("inf"), 2**63)}, {"a": [None, 2**63]}),
    ],
)
def test_values_become_what_json_has(value, expected):
    assert plain(value) == expected
    json.dumps(plain(value), allow_nan=False)


def test_rows_of_another_length_are_a_fault():
    with pytest.raises(ValueError, match="zip"):
        printed("json", rows=[[1, 2]], columns=["one"])


def test_mappings_take_their_columns_from_the_first(capsys):
    assert print_mappings([{"a": 1, "b": 2}, {"a": 3}], Format.JSON) == 2
    assert json.loads(capsys.readouterr().out) == [{"a": 1, "b": 2}, {"a": 3, "b": None}]


def test_the_option_gives_a_format_and_refuses_others():
    @click.command()
    @format_option
    def command(format_):
        click.echo(repr(format_))

    assert CliRunner().invoke(command, ["--format", "csv"]).output == "<Format.CSV: 'csv'>\n"
    assert CliRunner().invoke(command, []).output == "<Format.TABLE: 'table'>\n"
    assert CliRunner().invoke(command, ["--format", "xml"]).exit_code == 2
