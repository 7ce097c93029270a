"""The proof of promises 1 and 2: what `verify` checks, in one place.

Coverage (every offset of every chain in exactly one place, once), recomputation (landed windows and profiles equal what
their records give), and, where a Kafka is named, the log itself, message by message.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.lake.coverage import Coverage, Finding, check_coverage
from pipeline.lake.paths import Chain
from pipeline.lake.recompute import Recomputed, recompute

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.engine import Engine
    from pipeline.kafka.audit import LogAudit
    from pipeline.lake import Lake, Snapshot
    from pipeline.lake.snapshot import Tail
    from pipeline.records.decode import RecordDecoder

DEFAULT_SAMPLE = 1000

Report = "Callable[[str, int, int], None]"


@dataclass(slots=True)
class Verification:
    """Everything that was checked and everything that was found."""

    coverage: Coverage
    recomputed: Recomputed
    windows_landed: int
    audits: list[LogAudit] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def errors(self) -> list[Finding]:
        """Findings that contradict a promise."""
        return [finding for finding in self.findings if finding.severity == "error"]

    @property
    def lost(self) -> int:
        """Offsets or messages that should have been landed and were not."""
        return sum(a.lost for a in self.audits) + sum(
            f.check in {"unreachable", "gap", "positions_digest", "file_missing"}
            for f in self.coverage.findings
        )

    @property
    def twice(self) -> int:
        """Positions that were landed more than once."""
        return sum(a.twice for a in self.audits) + sum(f.check == "twice" for f in self.coverage.findings)

    @property
    def holds(self) -> bool:
        """Whether nothing contradicts the promises."""
        return self.coverage.holds and not self.recomputed.differences and not self.errors


def verify(
    lake: Lake,
    engine: Engine,
    *,
    sample: int | None = DEFAULT_SAMPLE,
    seed: int = 0,
    kafka: KafkaSide | None = None,
    report: Callable[[str, int, int], None] | None = None,
) -> Verification:
    """Check a lake.

    Parameters
    ----------
    sample
        Landed windows to recompute, chosen by ``seed``; None: all, and every column of every file is digested.
    kafka
        The log to hold it against; None: the lake alone.
    report
        Told (what, done, total).
    """
    snapshot = lake.snapshot()

    def on_coverage(done: int, total: int) -> None:
        if report is not None:
            report("coverage", done, total)

    coverage = check_coverage(snapshot, contents=sample is None, progress=on_coverage)
    recomputed = recompute(snapshot, engine, sample=sample, seed=seed)
    result = Verification(coverage, recomputed, _windows_landed(snapshot), findings=list(coverage.findings))
    result.findings += [
        Finding(
            "error",
            "recompute",
            d.file,
            d.where,
            str(d.recomputed),
            str(d.landed),
        )
        for d in recomputed.differences
    ]
    if kafka is not None:
        kafka.check(lake, snapshot, result, report)
    return result


def _windows_landed(snapshot: Snapshot) -> int:
    return sum(r.windows for r in snapshot.rollups) + sum(
        f.rows for f in snapshot.manifest.run_files("windows")
    )


@dataclass(frozen=True, slots=True)
class KafkaSide:
    """The cluster whose log a lake is held against.

    Parameters
    ----------
    decoder
        As the worker's; with its pseudonym key, if it has one.
    contents
        False: compare positions only, because the pseudonym key is not at hand.
    """

    bootstrap_servers: str
    decoder: RecordDecoder
    security: Mapping[str, Any] | None = None
    contents: bool = True

    def check(
        self,
        lake: Lake,
        snapshot: Snapshot,
        result: Verification,
        report: Callable[[str, int, int], None] | None,
    ) -> None:
        """Compare every partition of every topic of which something was landed."""
        from pipeline.kafka import client

        by_topic: dict[str, list[Tail]] = {}
        for tail in snapshot.tails.values():
            if not tail.chain.is_file:
                by_topic.setdefault(tail.origin.topic, []).append(tail)
        with client.connected(self.bootstrap_servers, self.security) as admin:
            there = set(admin.list_topics())
            for topic, tails in sorted(by_topic.items()):
                topic_id = client.topic_id(admin, topic) if topic in there else None
                current = [tail for tail in tails if tail.chain.topic_id == topic_id]
                for tail in tails:
                    if tail not in current:
                        result.findings.append(_other_topic(tail, topic_id, replaced=bool(current)))
                for tail in current:
                    self._chain(lake, snapshot, tail, admin, result, report)
                if current and topic_id is not None:
                    _not_begun(lake, snapshot, topic, topic_id, client.log_ranges(admin, topic), result)

    def _chain(
        self,
        lake: Lake,
        snapshot: Snapshot,
        tail: Tail,
        admin: Any,
        result: Verification,
        report: Callable[[str, int, int], None] | None,
    ) -> None:
        from pipeline.kafka import client
        from pipeline.kafka.audit import audit_chain

        chain, topic = tail.chain, tail.origin.topic
        if chain.partition not in client.log_ranges(admin, topic):
            result.findings.append(
                Finding(
                    "error", "no_partition", chain.key, f"topic {topic}", "the partition", "none in Kafka"
                )
            )
            return

        def log_range() -> tuple[int, int]:
            return client.log_ranges(admin, topic)[chain.partition]

        def head() -> int:
            return lake.head(chain.topic_id, chain.partition) or tail.head

        def on_chain(done: int, total: int) -> None:
            if report is not None:
                report(f"Kafka {topic}/{chain.partition}", done, total)

        audit, findings = audit_chain(
            snapshot,
            tail,
            self.decoder,
            self.bootstrap_servers,
            log_range,
            head=head,
            contents=self.contents,
            security=self.security,
            progress=on_chain,
        )
        result.audits.append(audit)
        result.findings += findings


def _other_topic(tail: Tail, topic_id: str | None, *, replaced: bool) -> Finding:
    """A chain that cannot be held against this cluster; expected only where a newer topic's chain can be."""
    found = "no topic of this name" if topic_id is None else f"id {topic_id}"
    if not replaced:
        found += ": nothing was compared. Is this the cluster whose records were landed?"
    severity = "note" if replaced else "error"
    where, expected = f"topic {tail.origin.topic}", f"id {tail.chain.topic_id}"
    return Finding(severity, "other_topic", tail.chain.key, where, expected, found)


def _not_begun(
    lake: Lake,
    snapshot: Snapshot,
    topic: str,
    topic_id: str,
    ranges: Mapping[int, tuple[int, int]],
    result: Verification,
) -> None:
    """Partitions that Kafka has and the lake does not."""
    from pipeline.kafka.audit import not_begun

    for partition, log_range in ranges.items():
        chain = Chain(topic_id, partition)
        # One that began since the snapshot was taken is a worker's business now.
        if chain.key in snapshot.tails or not log_range[1] or lake.origin(topic_id, partition) is not None:
            continue
        audit, findings = not_begun(topic, chain, log_range)
        result.audits.append(audit)
        result.findings += findings


def summary(result: Verification) -> list[dict[str, Any]]:
    """One row for each check: what was checked and how many differences there are."""
    rows: list[dict[str, Any]] = []
    for chain in result.coverage.chains:
        found = [f for f in result.coverage.findings if f.chain == chain.chain and f.severity == "error"]
        rows.append(
            {
                "check": "coverage",
                "subject": f"{chain.topic} ({chain.chain})",
                "checked": f"offsets {chain.start}-{chain.head - 1}: {chain.records:,} records, {chain.rejected:,} rejected"
                + (f", {chain.forgotten:,} forgotten" if chain.forgotten else "")
                + (f", {chain.lost:,} declared lost" if chain.lost else ""),
                "differences": len(found),
            }
        )
    rows.append(
        {
            "check": "recompute",
            "subject": "landed windows",
            "checked": f"{result.recomputed.windows:,} of {result.windows_landed:,} windows",
            "differences": len(result.recomputed.differences),
        }
    )
    for audit in result.audits:
        figures = asdict(audit)
        wrong = sum(figures[name] for name in ("lost", "invented", "twice", "different", "not_in_log"))
        rest = "".join(
            f", {figures[name]:,} {word}"
            for name, word in (
                ("rejected", "rejected"),
                ("forgotten", "forgotten"),
                ("expired", "no longer in Kafka"),
                ("not_yet_landed", "offsets not landed yet"),
            )
            if figures[name]
        )
        rows.append(
            {
                "check": "kafka",
                "subject": f"{audit.topic}, partition {audit.partition}",
                "checked": f"{audit.compared:,} records{rest}",
                "differences": wrong,
            }
        )
    return rows
