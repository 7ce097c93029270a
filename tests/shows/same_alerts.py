"""The same alerts, however the records came: the worker's lake, the same lake after a replay, an ingested copy.

    python tests/shows/same_alerts.py [--records 60000] [--accounts 450] [--seed 7] [--bootstrap-servers HOST:PORT]

Traffic with attackers goes to a file and, message by message, to Kafka. The worker lands it and the lake is scored; the
replay recomputes, compacts and scores that lake again; the file is ingested into another lake, shuffled, and scored.
Compared are every account's row of `account_scores` and every alert: subject, members, score, p-value, drivers, sentences
and the records to look at, these by what is in them and not by where they landed. Exit code 1 if anything differs.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import stage

from pipeline.kafka.broker import EmbeddedKafka
from pipeline.records.encode import encode_json
from pipeline.warehouse import connect

PLACES = ("topic_id", "topic", "partition", "offset", "row", "position", "positions")
"""Where a record landed: another place in each lake."""


def without_places(value: Any) -> Any:
    """Evidence without the places of records."""
    if isinstance(value, dict):
        return {key: without_places(inner) for key, inner in value.items() if key not in PLACES}
    if isinstance(value, list):
        return [without_places(inner) for inner in value]
    return value


def findings(lake: Path) -> tuple[dict[str, str], list[tuple[Any, ...]]]:
    """Digest of each account's scores, and the scored alerts as they can be compared between lakes."""
    connection = connect(lake)
    answer = connection.execute("select * from account_scores order by account_id")
    names = [column[0] for column in answer.description]
    accounts = {}
    for row in answer.fetchall():
        values = dict(zip(names, row, strict=True))
        text = json.dumps(values, default=str, sort_keys=True)
        accounts[values["account_id"]] = hashlib.sha256(text.encode()).hexdigest()
    alerts = [
        (
            kind,
            subject,
            tuple(members or ()),
            score,
            p_value,
            json.dumps(without_places(json.loads(evidence))),
        )
        for kind, subject, members, score, p_value, evidence in connection.execute(
            "select subject_kind, subject_id, members, score, p_value, evidence::varchar from alerts"
            " where not is_live order by subject_kind, subject_id"
        ).fetchall()
    ]
    return accounts, alerts


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=60_000)
    parser.add_argument("--accounts", type=int, default=450)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--bootstrap-servers")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        out = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="distillwatch-same-alerts-")))
        bootstrap = options.bootstrap_servers or stack.enter_context(EmbeddedKafka()).bootstrap_servers
        source = out / "records.parquet"
        traffic = ["--records", str(options.records), "--accounts", str(options.accounts)]
        stage.distillwatch("simulate", *traffic, "--seed", str(options.seed), "--out", source)
        table = pq.read_table(source)
        order = list(range(table.num_rows))
        random.Random(options.seed).shuffle(order)
        pq.write_table(table.take(order), out / "shuffled.parquet")

        topic = f"same-alerts-{options.seed}-{time.time_ns()}"
        stage.new_topic(bootstrap, topic)
        keys = [account.encode() for account in table.column("account_id").to_pylist()]
        stage.produce(bootstrap, topic, zip(keys, encode_json(table), strict=True))
        live, copy = out / "live", out / "copy"
        stage.run_worker(live, bootstrap, topic, out / "worker.log")
        found = {}
        stage.distillwatch("score", "--lake", live)
        found["the worker's lake"] = findings(live)
        stage.distillwatch("replay", "--lake", live)
        found["after its replay"] = findings(live)
        stage.distillwatch("ingest", "--lake", copy, out / "shuffled.parquet")
        stage.distillwatch("score", "--lake", copy)
        found["an ingested copy, shuffled"] = findings(copy)

    first_accounts, first_alerts = next(iter(found.values()))
    rows, same = [], True
    for name, (accounts, alerts) in found.items():
        other = sum(accounts.get(each) != digest for each, digest in first_accounts.items())
        other += len(set(accounts) - set(first_accounts))
        differing = len(set(alerts) ^ set(first_alerts))
        same = same and not other and not differing
        rows.append(
            {
                "lake": name,
                "accounts": len(accounts),
                "alerts": len(alerts),
                "accounts that differ": other,
                "alerts that differ": differing,
                "digest": hashlib.sha256(repr(alerts).encode()).hexdigest()[:16],
            }
        )
    stage.table(rows)
    if not first_alerts:
        print("no alert at all: nothing was compared")
        return 1
    print("the same alerts along every path" if same else "the alerts DIFFER")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
