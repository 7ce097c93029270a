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
from streams import looks as looks_module
from streams.alerts import Alerts
from streams.dead_letter import RAW_BYTES, DeadLetters, letters
from streams.looks import Looks
from streams.settings import WorkerSettings, one_thread_per_product

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
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


def make_lake(folder: Path) -> Lake:
    return Lake.open_or_create(folder / "lake", parameters=Parameters.default())


def in_lake(lake: Lake, folder: str = "alerts") -> list[str]:
    return sorted(path.stem for path in (lake.root / folder).glob("*.json"))


def test_an_alert_is_raised_once_in_topic_and_lake(tmp_path: Path) -> None:
    lake = make_lake(tmp_path)
    producer, metrics = Producer(), Metrics()
    alerts = Alerts("alerts", lake, producer, metrics)
    asyncio.run(alerts.publish([ALERT]))
    asyncio.run(alerts.publish([ALERT]))
    asyncio.run(Alerts("alerts", lake, producer, metrics).publish([ALERT]))
    assert [(t, k) for t, k, _ in producer.acknowledged] == [("alerts", b"alert-1")]
    assert json.loads((lake.root / "alerts" / "alert-1.json").read_text()) == ALERT
    assert metrics.value(m.ALERTS, "robust") == 1
    assert in_lake(lake, "unsent") == []


@pytest.mark.parametrize(("queue", "ack"), [(1, 0), (0, 1)])
def test_an_alert_that_was_not_sent_waits_and_the_others_do_not(tmp_path: Path, queue: int, ack: int) -> None:
    lake, producer, metrics = make_lake(tmp_path), Producer(queue, ack), Metrics()
    alerts = Alerts("alerts", lake, producer, metrics)
    other = {**ALERT, "alert_id": "alert-2"}
    with pytest.raises(OSError, match=r"timed out|buffer full"):
        asyncio.run(alerts.publish([ALERT, other]))
    assert in_lake(lake) == ["alert-1", "alert-2"]
    assert in_lake(lake, "unsent") == ["alert-1"]
    assert alerts.waiting == 1
    asyncio.run(alerts.publish([]))
    assert [key for _, key, _ in producer.acknowledged] == [b"alert-2", b"alert-1"]
    assert (alerts.waiting, in_lake(lake, "unsent"), metrics.value(m.ALERTS, "robust")) == (0, [], 2)


def test_what_a_stopped_worker_left_unsent_the_next_one_sends(tmp_path: Path) -> None:
    lake = make_lake(tmp_path)
    with pytest.raises(OSError, match="timed out"):
        asyncio.run(Alerts("alerts", lake, Producer(fail_ack=1), Metrics()).publish([ALERT]))
    # And one that died before the alert itself was in the lake.
    early = {**ALERT, "alert_id": "alert-0"}
    lake.store.put_bytes(json.dumps(early).encode(), "unsent/alert-0.json")
    producer = Producer()

    async def scene() -> None:
        looks = Looks(Scorer(), Alerts("alerts", lake, producer, Metrics()), Metrics(), list)
        await looks.close(10)

    asyncio.run(scene())
    assert [key for _, key, _ in producer.acknowledged] == [b"alert-0", b"alert-1"]
    assert in_lake(lake) == ["alert-0", "alert-1"]
    assert in_lake(lake, "unsent") == []


def test_an_alert_that_the_lake_did_not_take_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake, producer = make_lake(tmp_path), Producer()
    alerts = Alerts("alerts", lake, producer, Metrics())

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(lake.store, "_link", full)
        with pytest.raises(OSError, match="No space"):
            asyncio.run(alerts.publish([ALERT]))
    assert producer.acknowledged == []
    asyncio.run(alerts.publish([]))
    assert in_lake(lake) == ["alert-1"]
    assert len(producer.acknowledged) == 1


async def until(happened: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not happened():
            await asyncio.sleep(0.002)


def test_alerts_outlast_an_alert_topic_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody observes anything any more: the pause alone tries again."""
    monkeypatch.setattr(looks_module, "FIRST_PAUSE", 0.001)
    lake, producer, scorer = make_lake(tmp_path), Producer(fail_ack=5), Scorer()

    async def scene() -> None:
        looks = Looks(scorer, Alerts("alerts", lake, producer, Metrics()), Metrics(), list)
        looks.observe(pa.table({"account_id": ["a", "b", "c"]}))
        await until(lambda: len(producer.acknowledged) == 3)
        await looks.close(10)

    asyncio.run(scene())
    assert sorted(key for _, key, _ in producer.acknowledged) == [b"alert-a", b"alert-b", b"alert-c"]
    assert scorer.looked == [("a", "b", "c")]
    assert in_lake(lake) == ["alert-a", "alert-b", "alert-c"]


def test_accounts_stay_due_while_the_lake_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks_module, "FIRST_PAUSE", 0.001)
    scorer, metrics = Scorer(fails=3), Metrics()

    async def scene() -> None:
        looks = Looks(scorer, Alerts(None, make_lake(tmp_path), Producer(), metrics), metrics, list)
        looks.observe(pa.table({"account_id": ["a"]}))
        await until(lambda: scorer.looked)
        await looks.close(10)

    asyncio.run(scene())
    assert scorer.looked == [("a",)]
    assert metrics.total(m.SCORING_FAILURES) == 3


def test_a_stop_does_not_wait_for_what_cannot_be_done(tmp_path: Path) -> None:
    scorer = Scorer(fails=10**9)

    async def scene() -> None:
        lake = make_lake(tmp_path)
        looks = Looks(scorer, Alerts("alerts", lake, Producer(), Metrics()), Metrics(), list)
        looks.observe(pa.table({"account_id": ["a"]}))
        async with asyncio.timeout(5):
            await looks.close(60)

    asyncio.run(scene())


class Scorer:
    def __init__(self, *, breaks: bool = False, fails: int = 0) -> None:
        self.looked: list[tuple[str, ...]] = []
        self.fails = fails
        self.breaks = breaks

    def observe(self, accepted: pa.Table) -> list[str]:
        return sorted(set(accepted.column("account_id").to_pylist()))

    def look(self, accounts: Sequence[str], held: Sequence[pa.Table]) -> list[Mapping[str, Any]]:
        if self.breaks:
            msg = "broken detector"
            raise ValueError(msg)
        if self.fails:
            self.fails -= 1
            raise OSError(5, "Input/output error")
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
