from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline import metrics as m
from pipeline.metrics import CATALOGUE, Kind, Metrics


def test_names_follow_prometheus_rules_and_say_what_they_count() -> None:
    names = [metric.full_name for metric in CATALOGUE]
    assert len(names) == len(set(names)) > 20
    for metric in CATALOGUE:
        assert re.fullmatch(r"distillwatch_[a-z_]+", metric.full_name)
        assert (metric.kind is Kind.COUNTER) == metric.name.endswith("_total")
        assert metric.meaning.endswith(".")
        assert metric.unit


def test_what_is_rendered_can_be_read_back() -> None:
    metrics = Metrics()
    metrics.add(m.RECORDS, 3, "logs", 0)
    metrics.add(m.RECORDS, 4, "logs", 0)
    metrics.add(m.RECORDS, 1, "logs", 1)
    metrics.set(m.LAG, 12.5, 'a"b\\c\n', 2)
    text = metrics.render()
    assert 'distillwatch_records_total{topic="logs",partition="0"} 7\n' in text
    assert 'distillwatch_lag_records{topic="a\\"b\\\\c\\n",partition="2"} 12.5\n' in text
    assert text.count("# TYPE ") == len(CATALOGUE)
    assert metrics.total(m.RECORDS) == 8
    metrics.forget(m.LAG, 'a"b\\c\n', 2)
    assert "lag_records{" not in metrics.render()


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda x: x.add(m.LAG, 1, "t", 0), "only counters"),
        (lambda x: x.add(m.RECORDS, -1, "t", 0), "only counters"),
        (lambda x: x.set(m.RECORDS, 1, "t", 0), "is a counter"),
        (lambda x: x.add(m.RECORDS, 1, "t"), "labels"),
    ],
)
def test_misuse_is_refused(act: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        act(Metrics())  # type: ignore[operator]


def test_counting_from_many_threads_loses_nothing() -> None:
    metrics = Metrics()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: [metrics.add(m.FETCHES, 1, "t", 0) for _ in range(500)], range(16)))
    assert metrics.total(m.FETCHES) == 8000
