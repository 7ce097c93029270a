"""SQL and the core tell an analyst the same number: readings of merged profiles, on a simulated lake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline import readings
from pipeline.assembly import engine_for
from pipeline.lake import Lake
from pipeline.lake.reader import read_profiles, read_records
from pipeline.profiles.schema import HEAVY_MIN_RECORDS, PROJECTED

if TYPE_CHECKING:
    from pipeline.profiles import Profiles
    from tests.sql.conftest import Planted


@pytest.fixture(scope="module")
def whole(planted: Planted) -> Profiles:
    """One profile per account, of everything landed."""
    lake = Lake.open(planted.path)
    return read_profiles(lake.snapshot(), engine_for(lake, "numpy")).by_account()


def place(whole: Profiles, account: str) -> int:
    return list(whole.account_id).index(account)


ACCOUNTS = ("harvest", "tutoring", "hydra", "batch_job", "reseller")


@pytest.fixture(scope="module", params=ACCOUNTS)
def account(planted: Planted, request: pytest.FixtureRequest) -> str:
    return planted.of(request.param)[0]


def test_topics_entropy_coverage_and_shares(planted: Planted, whole: Profiles, account: str) -> None:
    row = place(whole, account)
    (found,) = planted.ask("account_summary", account_id=account)
    assert found["records"] == whole.records[row]
    assert found["topics"] == (whole.askable["topic_count"][row] > 0).sum()
    assert found["topic_entropy"] == pytest.approx(readings.topic_entropy(whole)[row], abs=1e-12)
    assert found["unseen_topic_mass"] == pytest.approx(readings.good_turing(whole)[row], abs=1e-12)
    assert found["top_topic_share"] == pytest.approx(
        readings.dominant_share(whole, "topic_count")[row], abs=1e-12
    )
    assert found["input_tokens"] == whole.column("input_tokens")[row]
    counts = dict(
        planted.session.execute("select topic, records from account_topics($id)", {"id": account}).fetchall()
    )
    assert counts == {
        int(topic): int(count) for topic, count in enumerate(whole.askable["topic_count"][row]) if count
    }


def test_the_sum_of_records_is_the_profile(planted: Planted, whole: Profiles, account: str) -> None:
    row = place(whole, account)
    total, n, norm2, spread = planted.session.execute(
        """
        with vectors as (select grid_vector(embedding) as vector from records where account_id = $id),
        merged as (
          select
            sum_vectors(list(vector)) as vector_sum, count(*) as n,
            sum(list_dot_product(vector::double[], vector::double[])) as norm2
          from vectors
        )
        select vector_sum, n, norm2, mean_cosine(vector_sum, n, norm2) from merged
        """,
        {"id": account},
    ).fetchone()
    assert total == whole.embedding_sum[row].tolist()
    assert n == whole.records[row]
    assert norm2 == whole.column("embedding_norm2")[row]
    assert spread == pytest.approx(readings.mean_pairwise_cosine(whole)[row], abs=1e-9)


def test_merged_heavy_parts_are_the_profile_of_what_landed(planted: Planted) -> None:
    lake = Lake.open(planted.path)
    engine = engine_for(lake, "numpy")
    # What has heavy rows: windows with enough records in a file. Their records, profiled anew, are the reference.
    rows: list[tuple[Any, ...]] = planted.session.execute(
        "select account_id, sum(records) from profiles group by account_id having count(*) >= 3 order by 2 desc limit 3"
    ).fetchall()
    for account, records in rows:
        (found,) = _named(
            planted,
            """
            select
              *,
              moment_trace(moment) as trace,
              moment_frobenius2(moment) as frobenius2,
              participation_ratio(moment) as ratio,
              distinct_estimate(prompt_hashes) as prompts,
              distinct_estimate(client_network_hashes) as networks
            from landed_profile($id)
            """,
            account,
        )
        assert found["records"] == records
        table = read_records(lake.snapshot(), accounts=[account])
        windows = engine.profiles(table)
        # Segments cut windows: only what one file holds of a window counts, so compare accounts where none is cut.
        heavy = windows.take(np.flatnonzero(windows.records >= HEAVY_MIN_RECORDS))
        if heavy.records.sum() != records:
            pytest.fail(f"{account} has a window in two segments; choose another seed")
        merged = heavy.by_account()
        assert found["embedding_sum"] == merged.embedding_sum[0].tolist()
        assert found["moment"] == merged.moment[0].tolist()
        assert found["kernel_mean"] == merged.kernel_mean[0].tolist()
        matrix = readings.moment_matrices(merged)[0] * records
        assert found["trace"] == pytest.approx(np.trace(matrix), rel=1e-12)
        assert found["frobenius2"] == pytest.approx((matrix * matrix).sum(), rel=1e-12)
        assert found["ratio"] == pytest.approx(readings.participation_ratio(merged)[0], rel=1e-12)
        assert 1 <= found["ratio"] <= PROJECTED
        assert found["prompts"] == pytest.approx(
            readings.distinct_count(merged, "prompt_distinct")[0], rel=1e-12
        )
        assert found["networks"] == pytest.approx(
            readings.distinct_count(merged, "client_network_distinct")[0], rel=1e-12
        )


def _named(planted: Planted, query: str, account: str) -> list[dict[str, Any]]:
    cursor = planted.session.cursor().execute(query, {"id": account})
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def test_cosines_of_accounts(planted: Planted, whole: Profiles) -> None:
    one, two = planted.of("hydra")[:2]
    rows = [place(whole, one), place(whole, two)]
    (found,) = planted.session.execute(
        """
        with sums as (
          select account_id, sum_vectors(list(vector)) as vector_sum
          from (select account_id, grid_vector(embedding) as vector from records where account_id in ($one, $two))
          group by account_id
        )
        select cosine(a.vector_sum, b.vector_sum) from sums as a join sums as b on a.account_id < b.account_id
        """,
        {"one": one, "two": two},
    ).fetchone()
    wanted = readings.centroid_cosine(whole.take(np.array(rows[:1])), whole.take(np.array(rows[1:])))
    assert found == pytest.approx(wanted[0], abs=1e-12)
    topics = whole.askable["topic_count"][rows].astype(np.float64)
    (found,) = planted.session.execute(
        """
        with spreads as (
          select account_id, list({'bucket': topic, 'count': records} order by topic) as topic_count
          from (
            select $one as account_id, * from account_topics($one) union all select $two, * from account_topics($two)
          )
          group by account_id
        )
        select counts_cosine(a.topic_count, b.topic_count)
        from spreads as a join spreads as b on a.account_id < b.account_id
        """,
        {"one": one, "two": two},
    ).fetchone()
    assert found == pytest.approx(
        topics[0] @ topics[1] / np.sqrt((topics[0] ** 2).sum() * (topics[1] ** 2).sum())
    )


def test_signals_that_a_playbook_recomputes_are_those_of_the_score(planted: Planted) -> None:
    for account in planted.of("harvest", "tutoring", "chat", least=60)[:6]:
        topic_entropy, coherence = planted.session.execute(
            "select topic_entropy, session_coherence from account_scores where account_id = $id",
            {"id": account},
        ).fetchone()
        (summary,) = planted.ask("account_summary", account_id=account)
        assert summary["topic_entropy"] == pytest.approx(topic_entropy, rel=1e-6)
        if coherence is None:
            continue
        sessions = [row for row in planted.ask("session_coherence", account_id=account) if row["pairs"]]
        mean = np.average([s["coherence"] for s in sessions], weights=[s["pairs"] for s in sessions])
        assert mean == pytest.approx(coherence, abs=1e-5)
