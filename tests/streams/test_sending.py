"""Dead letters, alerts and looks: what is sent, how often, and what happens when it cannot be."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from pipeline import metrics as m
from pipeline.lake import Lake
from pipeline.metrics import Metrics
from pipeline.parameters import Parameters
from pipeline.records.schema import REJECTED_SCHEMA
from streams import dead_letter
from streams.alerts import Alerts
from streams.dead_letter import RAW_BYTES, DeadLetters, letters
from streams.looks import Looks
from streams.settings import WorkerSettings, one_thread_per_product

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def rejected(raws: Sequence[bytes | None]) -> pa.Table:
    rows = [
        {
            "topic_id": "id", "topic": "logs", "partition": 3, "offset": i, "row": 0, "reason": "not_json",
            "detail": "why", "raw": raw, "raw_bytes": len(raw or b""),
        }
        for i, raw in enumerate(raws)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=REJECTED_SCHEMA)


class Producer:
    """Fails as often as it is told, at queueing or at the acknowledgement."""

    def __init__(self, fail_queue: int = 0, fail_ack: int = 0) -> None:
        self.fail_queue, self.fail_ack = fail_queue, fail_ack
        self.acknowledged: list[tuple[str, bytes, bytes]] = []

    async def __call__(self, topic: str, key: bytes, value: bytes) -> Any:
        if self.fail_queue:
            self.fail_queue -= 1
            msg = "buffer full"
            raise OSError(msg)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.fail_ack:
            self.fail_ack -= 1
            done.set_exception(OSError("timed out"))
        else:
            self.acknowledged.append((topic, key, value))
            done.set_result(None)
        return done


def test_a_letter_says_where_why_and_what() -> None:
    long = bytes(range(256)) * 100
    (first_key, first), (_, second), (_, third) = letters(rejected([b"{oops", long, None]))
    assert first_key == b"id/3/0/0"
    said = json.loads(first)
    assert {k: said[k] for k in ("topic", "topic_id", "partition", "offset", "row", "reason", "detail")} == {
        "topic": "logs", "topic_id": "id", "partition": 3, "offset": 0, "row": 0, "reason": "not_json", "detail": "why",
    }  # fmt: skip
    assert base64.b64decode(said["raw"]) == b"{oops"
    assert (said["truncated"], said["raw_bytes"]) == (False, 5)
    cut = json.loads(second)
    assert base64.b64decode(cut["raw"]) == long[:RAW_BYTES]
    assert (cut["truncated"], cut["raw_bytes"]) == (True, len(long))
    assert json.loads(third)["raw"] == ""


@pytest.mark.parametrize(("queue", "ack"), [(0, 0), (2, 0), (0, 3), (1, 1)])
def test_letters_are_sent_until_each_is_acknowledged(
    queue: int, ack: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letter, "FIRST_PAUSE", 0.001)
    producer, metrics = Producer(queue, ack), Metrics()
    out = DeadLetters("dead", producer, metrics)
    asyncio.run(out.publish(rejected([b"a", b"b", b"c"])))
    assert sorted(key for _, key, _ in producer.acknowledged) == [b"id/3/0/0", b"id/3/1/0", b"id/3/2/0"]
    assert metrics.value(m.DEAD_LETTERS, "logs", 3) == 3
    assert bool(metrics.total(m.DEAD_LETTER_FAILURES)) == bool(queue or ack)
    assert out.failing is None


def test_no_topic_sends_nothing() -> None:
    producer = Producer()
    asyncio.run(DeadLetters(None, producer, Metrics()).publish(rejected([b"a"])))
    assert producer.acknowledged == []


ALERT = {"alert_id": "alert-1", "detector": "robust", "subject_kind": "account", "subject_id": "a"}


def test_an_alert_is_raised_once_in_topic_and_lake(tmp_path: Path) -> None:
    lake = Lake.open_or_create(tmp_path / "lake", parameters=Parameters.default())
    producer, metrics = Producer(), Metrics()
    alerts = Alerts("alerts", lake, producer, metrics)
    asyncio.run(alerts.publish([ALERT]))
    asyncio.run(alerts.publish([ALERT]))
    assert [(t, k) for t, k, _ in producer.acknowledged] == [("alerts", b"alert-1")]
    assert json.loads((lake.root / "alerts" / "alert-1.json").read_text()) == ALERT
    assert metrics.value(m.ALERTS, "robust") == 1


def test_an_alert_whose_sending_failed_is_not_taken_for_raised(tmp_path: Path) -> None:
    lake = Lake.open_or_create(tmp_path / "lake", parameters=Parameters.default())
    alerts = Alerts("alerts", lake, Producer(fail_ack=1), Metrics())
    with pytest.raises(OSError, match="timed out"):
        asyncio.run(alerts.publish([ALERT]))
    assert not (lake.root / "alerts").exists() or not list((lake.root / "alerts").glob("*.json"))


class Scorer:
    def __init__(self, *, breaks: bool = False) -> None:
        self.looked: list[tuple[str, ...]] = []
        self.breaks = breaks

    def observe(self, accepted: pa.Table) -> list[str]:
        return sorted(set(accepted.column("account_id").to_pylist()))

    def look(self, accounts: Sequence[str], held: Sequence[pa.Table]) -> list[Mapping[str, Any]]:
        if self.breaks:
            msg = "broken detector"
            raise ValueError(msg)
        self.looked.append(tuple(accounts))
        return [{**ALERT, "alert_id": f"alert-{name}"} for name in accounts]


@pytest.mark.parametrize("breaks", [False, True])
def test_looks_run_beside_and_their_failure_stays_their_own(
    tmp_path: Path, breaks: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> tuple[Scorer, Metrics, Lake]:
        lake = Lake.open_or_create(tmp_path / "lake", parameters=Parameters.default())
        metrics, scorer = Metrics(), Scorer(breaks=breaks)
        looks = Looks(scorer, Alerts(None, lake, Producer(), metrics), metrics, list)
        await asyncio.to_thread(looks.observe, pa.table({"account_id": ["a", "b", "a"]}))
        await looks.close(10)
        return scorer, metrics, lake

    scorer, metrics, lake = asyncio.run(scene())
    if breaks:
        assert metrics.total(m.SCORING_FAILURES) == 1
        assert "landing goes on" in caplog.text
    else:
        assert scorer.looked == [("a", "b")]
        assert metrics.total(m.ALERTS) == 2
        assert sorted(p.name for p in (lake.root / "alerts").glob("*.json")) == [
            "alert-a.json",
            "alert-b.json",
        ]


def test_settings_refuse_what_cannot_be(tmp_path: Path) -> None:
    from pipeline.errors import UsageError

    for wrong in ({"segment_records": 0}, {"web_port": 70_000}, {"max_message_bytes": 0}):
        with pytest.raises(UsageError, match=r"must be|does not exist"):
            WorkerSettings(lake=tmp_path, **wrong)  # type: ignore[arg-type]
    assert WorkerSettings(lake=tmp_path).threads >= 2


def test_options_come_from_the_environment_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from streams import cli, domain, runner

    told: list[WorkerSettings] = []
    monkeypatch.setattr(domain, "open_domain", lambda *_: None)
    monkeypatch.setattr(runner, "run", lambda settings, _: told.append(settings))
    monkeypatch.setattr(cli, "log_to_stderr", lambda: None)
    monkeypatch.setattr(cli, "one_thread_per_product", lambda: None)
    variables = {
        "DISTILLWATCH_LAKE": str(tmp_path),
        "DISTILLWATCH_TOPIC": "logs",
        "DISTILLWATCH_WEB_PORT": "8123",
    }
    done = CliRunner().invoke(cli.worker, ["--group", "g", "--alert-topic", ""], env=variables)
    assert done.exit_code == 0, done.output
    assert (told[0].topic, told[0].web_port, told[0].group) == ("logs", 8123, "g")
    assert (told[0].dead_letter_topic, told[0].alert_topic) == ("logs-dead-letters", None)


def test_products_stay_in_their_thread_unless_told_otherwise() -> None:
    variables = {"OMP_NUM_THREADS": "4"}
    one_thread_per_product(variables)
    assert variables == {"OMP_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
