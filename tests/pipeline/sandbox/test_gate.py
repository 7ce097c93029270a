"""What the check of statements lets pass, and that names mean what they mean to DuckDB."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from pipeline.errors import DistillwatchError, UsageError
from pipeline.warehouse import check_statement, connect, gate, load_tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.sandbox import Sandbox


@pytest.fixture(scope="module")
def session(world: Any) -> Any:
    return connect(world.lake)


READING = [
    "select * from account_scores where score > 0.5 order by score desc nulls last limit 3 offset 1",
    "from account_scores select account_id, score",
    "select * exclude (score) replace (records + 1 as records) from account_scores",
    "select columns('.*_id') from account_scores",
    "select distinct on (detector) * from account_scores",
    "select detector, count(*) from account_scores group by all having count(*) > 1 order by all",
    "select detector, decision, count(*) from account_scores group by grouping sets ((detector), (decision), ())",
    "select *, row_number() over (partition by detector order by score) as place from account_scores qualify place < 3",
    "select sum(score) over (order by score rows between 1 preceding and current row exclude ties) from account_scores",
    "select a.account_id from account_scores a join account_scores b using (account_id) left join verdicts v on v.subject_id = a.account_id",
    "select * from account_scores a asof join account_scores b on a.score >= b.score",
    "select * from account_scores a positional join account_scores b",
    "select * from account_scores a, lateral (select a.score * 2 as twice)",
    "select * from account_scores where account_id in (select subject_id from verdicts) or exists (select 1 from verdicts)",
    "select case when score > 1 then 'x' else 'y' end, score between 0 and 1, not true, score is null from account_scores",
    "select {'a': 1, 'b': [1, 2]}.a, [1, 2, 3][1:2], map {'a': 1}['a'], (1, 2)",
    "select list_transform([1, 2], lambda x: x + 1), list_filter([1, 2], lambda x: x > 1), [x + 1 for x in [1, 2] if x > 1]",
    "select 1::decimal(9, 2), cast('2026-01-01' as timestamp), try_cast('x' as integer), x'ab'::blob, 'a'::enum('a', 'b')",
    "select interval 3 days + timestamp '2026-01-01', extract(hour from timestamp '2026-01-01 10:00:00'), date_trunc('day', now())",
    "select 'abc' like 'a%' escape '\\', 'abc' ilike 'A_c', regexp_matches('abc', 'b'), 'a' || 'b', 'abc' similar to 'a.c'",
    "select 5 // 2, 5 % 2, 2 ** 3, 5 & 3, 5 | 3, 1 << 2, ~1, -1, 4!, @ -1, xor(1, 2)",
    "select count(*) filter (where score > 0.2), quantile_cont(score, [0.5, 0.9]), arg_max(account_id, score), list(score order by score) from account_scores",
    "select evidence->>'topic_entropy', evidence->'$.x', json_extract_string(evidence, '$.a') from alerts",
    "with a as (select 1 as x), b as (select x + 1 as x from a) select * from a union all by name select * from b",
    "with a as materialized (select 1 as x) select * from a, (with b as (select * from a) select * from b)",
    "with recursive t(i) as (select 1 union all select i + 1 from t where i < 5) select * from t",
    "with recursive t(i, n) using key (i) as (select 1, 1 union all select r.i, r.n + 1 from recurring.t r where r.n < 3) select * from t",
    "values (1, 'a'), (2, 'b')",
    "select * from (values (1)) v(x) except select 2 intersect select 3",
    "table account_scores",
    "from account_scores tablesample 10%",
    "select * from account_scores using sample 2",
    "from account_scores pivot (count(*) for decision in ('clear', 'alert') group by detector)",
    "unpivot (select account_id, score, p_value from account_scores) on score, p_value into name signal value v",
    "select * from range(3), generate_series(1, 2) g(y), unnest([1, 2]) u(z)",
    "select unnest([1, 2]), generate_subscripts([1, 2], 1)",
    "select * from json_each('{\"a\": 1}')",
    "describe account_scores", "describe select 1 as x", "summarize account_scores", "show tables", "show all tables",
    "show", "select * from (describe account_scores)", "select column_name from (summarize account_scores)",
    "select * from information_schema.columns", "select * from duckdb_columns()", "from duckdb_views",
    "select * from raw.verdicts", "select * from main.account_scores", "select * from memory.main.account_scores",
    "SELECT * FROM Account_Scores", 'select "account_id" as "An odd ; name" from "account_scores"',
    "select $a, $b::bigint", "select count(distinct account_id) from account_scores; -- and a note",
    "select 1 -- copy (select 1) to 'x'", "select 'copy (select 1) to ''x'''",
    "select dense_counts([{'bucket': 1, 'count': 2}], 4)",
]  # fmt: skip


@pytest.mark.parametrize("query", READING)
def test_what_reads_passes_and_runs(session: Any, sandbox: Sandbox, query: str) -> None:
    wanted = check_statement(session, query)
    sandbox.ask(query, dict.fromkeys(wanted, "1"))


@pytest.mark.parametrize("file", load_tree()["playbooks"], ids=lambda file: file.name)
def test_every_playbook_passes(session: Any, file: Any) -> None:
    assert check_statement(session, file.statement) == {each.name for each in file.parameters}


SCOPES = [
    # A name is a common table's only where it stands.
    ("with a as (select 1) select * from (with b as (select 1) select 1), b", "no table b"),
    ("select * from a, (with a as (select 1) select * from a)", "no table a"),
    ("with a as (select * from b), b as (select 1) select * from a", "no table b"),
    ("with a as (select * from a) select * from a", "no table a"),
    ("(with a as (select 1) select * from a) union all select * from a", "no table a"),
    ("select (with a as (select 1) select count(*) from a) from a", "no table a"),
    ("with recursive t as (select * from t union all select 1) select 1", "no table t"),
    ("select * from recurring.t", "no table recurring.t"),
    ("with t as (select 1) select * from recurring.t", "no table recurring.t"),
    ("with t as (select 1) select * from main.t", "no table main.t"),
    ("with \"x.parquet\" as (select 1) select 1", "plain one"),
    ("with \"/etc/passwd\" as (select 1) select * from '/etc/passwd'", "plain one"),
    ("select * from acount_scores", "did you mean account_scores"),
    ("select * from 'x.parquet'", "is no table of the session"),
    ("select * from other.main.t", "no database 'other'"),
    ("select * from information_schema.key_column_usage", "no table information_schema.key_column_usage"),
    ("select * from pg_catalog.pg_settings", "no table pg_catalog.pg_settings"),
    ("select * from account_scores at (version => 1)", "--as-of"),
    ("show databases", "SHOW databases"),
    ("pivot account_scores on decision", "PIVOT here has to name its values"),
    ("select pg_catalog.version()", "pg_catalog.version"),
    ("select not_there(1)", "not_there"),
    ("select sum(a) from (select read_text('x') as a)", "read_text"),
    ("select * from account_scores where account_id = getvariable('x')", "getvariable"),
    ("select row_number() over (order by current_setting('threads')) from account_scores", "current_setting"),
    ("select list_transform([1], lambda x: nextval('s'))", "nextval"),
    ("select 1 limit (select current_setting('threads')::int)", "current_setting"),
    ("select sum(1) filter (where getvariable('x'))", "getvariable"),
    ("values (current_setting('threads'))", "current_setting"),
    ("from account_scores pivot (max(getvariable('x')) for decision in ('a'))", "getvariable"),
    ("select a from (values (1)) t(a) order by getvariable('x')", "getvariable"),
    ("select * replace (getvariable('x') as score) from account_scores", "getvariable"),
    ("select columns(c -> getvariable(c) is null) from account_scores", "getvariable|Parser"),
    ("select * from account_scores join verdicts on getvariable('x')", "getvariable"),
    ("with recursive t(i) using key (i) as (select 1 union all select getvariable('x') from t) select 1", "getvariable"),
    ("describe select getvariable('x')", "getvariable"),
    ("select case when getvariable('x') then 1 end", "getvariable"),
    ("select [getvariable('x')]", "getvariable"),
    ("select * from range(getvariable('x')::int)", "getvariable"),
    ("select distinct on (getvariable('x')) 1", "getvariable"),
    ("select 1 group by getvariable('x') having getvariable('x')", "getvariable"),
    ("select 1 qualify getvariable('x')", "getvariable"),
    # What ends a statement for one version of DuckDB and not for the other; letters that only Python takes for ASCII.
    ("select 1\0; copy (select 1) to 'x'", "zero byte at character 9"),
    ("select * from raw.la\u212ae", "is no table of the session"),
    ("with \u212a as (select 1) select * from k", "plain one"),
    ("select ?, $a", "Mixing named and positional"),
]  # fmt: skip


@pytest.mark.parametrize(("query", "why"), SCOPES)
def test_names_and_functions_are_looked_at_wherever_they_stand(session: Any, query: str, why: str) -> None:
    with pytest.raises((UsageError, duckdb.ParserException), match=f"(?s){why}"):
        check_statement(session, query)


@pytest.mark.parametrize("depth", [200, 5000, 200_000])
@pytest.mark.parametrize(
    ("opening", "middle", "closing"),
    [
        ("(", "1", ")"),
        ("[", "1", "]"),
        ("(select ", "1", ")"),
        ("abs(", "1", ")"),
        ("", "1", "+1"),
        ("not ", "true", ""),
    ],
)
def test_depth_ends_nothing_but_the_query(
    sandbox: Sandbox, depth: int, opening: str, middle: str, closing: str
) -> None:
    text = f"select {opening * depth}{middle}{closing * depth}"
    with suppress(DistillwatchError):
        sandbox.ask(text[: (1 << 20) - 1])
    assert sandbox.ask("select 1 as x").rows() == [{"x": 1}]


def test_a_text_that_is_too_long_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(UsageError, match="characters"):
        sandbox.ask(f"select '{'x' * (1 << 20)}'")


def test_the_list_of_functions_holds_none_that_reads() -> None:
    listed = gate.functions()
    suspicious = [
        name
        for name in listed
        if name.startswith(("read_", "pg_", "duckdb_", "parquet_", "pragma_", "__internal", "write"))
        or name
        in {
            "glob",
            "query",
            "query_table",
            "getenv",
            "getvariable",
            "current_setting",
            "sniff_csv",
            "nextval",
        }
    ]
    assert suspicious == []
    assert {
        "sum",
        "list_transform",
        "quantile_cont",
        "json_extract",
        "row_number",
        "regexp_matches",
    } <= listed


HOSTILE_VALUES = [
    "x' or '1' = '1",
    "x'; drop view windows; --",
    "x') union all select * from read_text('/etc/passwd') --",
    "$account_id",
    "{outside}/secret.parquet",
    "\\'; copy (select 1) to '{new}'; --",
    "%",
    "\u0000",
    "'||(select count(*) from account_scores)||'",
]


# In the short form one value that has everything in it; every playbook is planned anew for each.
AT_ONCE = "x' or '1' = '1'; drop view windows; -- \") union all select * from '{outside}/secret.parquet' --"


@pytest.mark.parametrize(
    "values",
    [pytest.param([AT_ONCE], id="at-once"), pytest.param(HOSTILE_VALUES, id="each", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("file", load_tree()["playbooks"], ids=lambda file: file.name)
def test_a_value_stays_a_value_in_every_parameter(
    world: Any, sandbox: Sandbox, secret: str, file: Any, values: list[str]
) -> None:
    """Texts as hostile as they come: the answer is that of a name nobody has, and never an error."""
    before = world.state()
    stand_in = {"integer": "1", "number": "1", "timestamp": "2026-01-01", "boolean": "true"}
    others = {
        each.name: each.value(stand_in[each.type])
        for each in file.parameters
        if each.required and each.type != "text"
    }
    texts = [each.name for each in file.parameters if each.type == "text"]
    # A playbook is planned anew each time: what takes no text is not asked.
    plain = (
        sandbox.playbook(file.name, {**others, **dict.fromkeys(texts, "nobody")}).table.num_rows
        if texts
        else 0
    )
    for value in values if texts else []:
        filled = value.replace("{outside}", str(world.outside)).replace(
            "{new}", str(world.folder / "written")
        )
        answer = sandbox.playbook(file.name, {**others, **dict.fromkeys(texts, filled)})
        assert answer.table.num_rows == plain
        assert secret not in str(answer.rows())
    # Other types do not take them at all.
    for each in file.parameters:
        if each.type != "text":
            with pytest.raises(UsageError, match="it has to be"):
                sandbox.playbook(file.name, {**others, **dict.fromkeys(texts, "nobody"), each.name: AT_ONCE})
    assert world.state() == before


@pytest.mark.parametrize("value", HOSTILE_VALUES)
def test_a_bound_value_comes_back_as_it_was(sandbox: Sandbox, value: str) -> None:
    assert sandbox.ask("select $v as v", {"v": value}).rows() == [{"v": value}]


def test_the_answer_to_a_question_about_files_is_in_words(ask_error: Callable[[str], str]) -> None:
    assert "files and settings are not read" in ask_error("select * from read_csv('x')")
    assert "files are not read by name" in ask_error("select * from 'x.csv'")


@pytest.fixture
def ask_error(sandbox: Sandbox) -> Callable[[str], str]:
    def ask(query: str) -> str:
        with pytest.raises(UsageError) as refused:
            sandbox.ask(query)
        return refused.value.message

    return ask
