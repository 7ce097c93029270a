"""The lake as pages ask it: a few confined sessions over one snapshot, renewed when the lake goes on."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from pipeline.errors import DistillwatchError, LakeError, QueryFailed, RetryLater, UsageError
from pipeline.lake import Lake
from pipeline.lake.paths import LAKE_FILE
from pipeline.sandbox import Answer, AuditLog, Limits, Sandbox
from pipeline.sandbox.sandbox import AUDIT_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.clock import Clock
    from pipeline.console.settings import ConsoleSettings

LOOK_SECONDS = 2.0
"""How often it is looked whether the lake has another manifest."""

TAIL_SECONDS = 60.0
"""How often it is looked whether anything landed behind the manifest."""

PATIENCE_SECONDS = 20.0
"""How long a page waits for a free session."""

# What DuckDB says when it reads what is no Parquet any more; it does not say which file.
_DAMAGED = re.compile(
    r"TProtocolException|magic bytes|Cannot open file|No files found|ecompress|Snappy|ZSTD|orrupt|Could not read"
    r"|Invalid Parquet|Failed to read"
)

_EARLIER = 2
_KEPT_ANSWERS = 128


@dataclass
class _Pool:
    """Sessions over one snapshot. The one who takes the last one back of a closed pool ends it."""

    settings: ConsoleSettings
    audit: AuditLog
    asked_manifest: int | None
    size: int
    free: list[Sandbox] = field(default_factory=list)
    out: int = 0
    opened: int = 0
    closed: bool = False
    condition: threading.Condition = field(default_factory=threading.Condition)
    answers: OrderedDict[tuple[str, tuple[tuple[str, object], ...]], Answer] = field(
        default_factory=OrderedDict
    )

    def _open(self) -> Sandbox:
        return Sandbox(
            self.settings.lake,
            who="console",
            audit=self.audit,
            manifest=self.asked_manifest,
            limits=Limits(
                seconds=self.settings.seconds,
                memory_bytes=self.settings.memory_bytes,
            ),
            weaker_guard=self.settings.weaker_guard,
        )

    @contextmanager
    def lease(self) -> Iterator[Sandbox]:
        session: Sandbox | None = None
        with self.condition:
            if not self.condition.wait_for(
                lambda: self.free or self.opened < self.size, timeout=PATIENCE_SECONDS
            ):
                msg = "all sessions are busy; ask again in a moment"
                raise RetryLater(msg)
            if self.free:
                session = self.free.pop()
            else:
                self.opened += 1
            self.out += 1
        try:
            if session is None:
                try:
                    session = self._open()
                except BaseException:
                    with self.condition:
                        self.opened -= 1
                    raise
            yield session
        finally:
            self._back(session)

    def _back(self, session: Sandbox | None) -> None:
        with self.condition:
            self.out -= 1
            keep = session is not None and not self.closed
            if keep and session is not None:
                self.free.append(session)
            self.condition.notify()
        if session is not None and not keep:
            session.close()

    def close(self) -> None:
        with self.condition:
            self.closed = True
            idle, self.free = self.free, []
        for session in idle:
            session.close()

    def remember(self, key: tuple[str, tuple[tuple[str, object], ...]], answer: Answer) -> None:
        with self.condition:
            self.answers[key] = answer
            while len(self.answers) > _KEPT_ANSWERS:
                self.answers.popitem(last=False)


class Queries:
    """Answers from a lake.

    Parameters
    ----------
    settings
        Where the lake is, how many sessions there may be and what a query may take.
    """

    def __init__(self, settings: ConsoleSettings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self.lake = Lake.open(settings.lake)
        self.audit = AuditLog(settings.lake / AUDIT_FILE)
        self._lock = threading.Lock()
        self._current: _Pool | None = None
        self._number, self._vector = -1, ""
        self._looked = self._looked_far = float("-inf")
        self._earlier: OrderedDict[int, _Pool] = OrderedDict()
        self._ends: dict[int, bool] = {}

    @property
    def newest(self) -> int:
        """Number of the newest manifest, as of the last look."""
        self._pool(None)
        return self._number

    def knows_its_end(self, manifest: int) -> bool:
        """Whether a manifest says where the lake's data ended when it was published; those of format 1 do not."""
        if manifest not in self._ends:
            self._ends[manifest] = self.lake.manifest(manifest).ends is not None
        return self._ends[manifest]

    def warm(self) -> None:
        """Open one session now, not with the first page."""
        with self._pool(None).lease() as session:
            session.warm()

    def _pool(self, manifest: int | None) -> _Pool:
        # Before the record is written: that would make a folder where the lake was.
        if not (self._settings.lake / LAKE_FILE).is_file():
            msg = f"the lake {self._settings.lake} is gone (it has no {LAKE_FILE}); mount or restore its folder, then load this page again"
            raise LakeError(msg)
        stale: list[_Pool] = []
        with self._lock:
            self._look(stale)
            assert self._current is not None
            pool = self._current
            # Also the newest by its number: its view ends where it was published, the one without a number goes on.
            if manifest is not None:
                pool = self._of(manifest, stale)
        for each in stale:
            each.close()
        return pool

    def _look(self, stale: list[_Pool]) -> None:
        now = self._clock.monotonic()
        if self._current is not None and now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        number = self.lake.manifest().number
        vector = self._vector
        if number != self._number or now - self._looked_far >= TAIL_SECONDS:
            self._looked_far = now
            vector = repr(sorted(self.lake.snapshot().vector.items()))
        if self._current is None or (number, vector) != (self._number, self._vector):
            if self._current is not None:
                stale.append(self._current)
            self._number, self._vector = number, vector
            self._current = _Pool(self._settings, self.audit, None, self._settings.children)

    def _of(self, manifest: int, stale: list[_Pool]) -> _Pool:
        if manifest < 0 or manifest > self._number:
            msg = f"there is no manifest {manifest}; the newest is {self._number}"
            raise UsageError(msg)
        pool = self._earlier.get(manifest)
        if pool is None:
            pool = self._earlier[manifest] = _Pool(self._settings, self.audit, manifest, 1)
        self._earlier.move_to_end(manifest)
        while len(self._earlier) > _EARLIER:
            stale.append(self._earlier.popitem(last=False)[1])
        return pool

    def playbook(
        self,
        name: str,
        parameters: Mapping[str, object],
        *,
        who: str,
        case: str | None = None,
        manifest: int | None = None,
        shared: bool = False,
    ) -> Answer:
        """Run a playbook.

        Parameters
        ----------
        manifest
            As of when this manifest was published; None: now.
        shared
            Whether the answer may serve other pages over the same snapshot: it says nothing of a subject.

        Raises
        ------
        UsageError
            There is no such playbook or manifest, or a parameter is wrong.
        QueryFailed, QueryKilled
            DuckDB could not run it; it went over a limit.
        RetryLater
            Every session is busy.
        """
        pool = self._pool(manifest)
        key = (name, tuple(sorted(parameters.items(), key=lambda item: item[0])))
        if shared and (known := pool.answers.get(key)) is not None:
            return known
        with self._session(pool, manifest) as session:
            answer = session.playbook(name, parameters, who=who, case=case)
        if shared:
            pool.remember(key, answer)
        return answer

    def unknown_values(
        self, answer: Answer, parameters: Mapping[str, object], *, who: str, manifest: int | None = None
    ) -> list[str]:
        """Whom an answer without rows asked about although the lake knows no such account or cluster."""
        if answer.table.num_rows:
            return []
        with self._session(self._pool(manifest), manifest) as session:
            return session.unknown_values(answer, parameters, who=who)

    def ask(
        self,
        sql: str,
        parameters: Mapping[str, object] | None = None,
        *,
        who: str,
        case: str | None = None,
        manifest: int | None = None,
        shared: bool = False,
    ) -> Answer:
        """Run one reading statement; see `playbook`."""
        pool = self._pool(manifest)
        key = (sql, tuple(sorted((parameters or {}).items(), key=lambda item: item[0])))
        if shared and (known := pool.answers.get(key)) is not None:
            return known
        with self._session(pool, manifest) as session:
            answer = session.ask(sql, parameters, who=who, case=case)
        if shared:
            pool.remember(key, answer)
        return answer

    @contextmanager
    def _session(self, pool: _Pool, manifest: int | None) -> Iterator[Sandbox]:
        try:
            with pool.lease() as session:
                yield session
        except (LakeError, FileNotFoundError) as error:
            if manifest is None:
                raise
            msg = f"the lake no longer has what manifest {manifest} names: its files were swept"
            raise UsageError(msg) from error

    def children(self) -> list[int]:
        """Process ids of the sessions that are open and idle."""
        with self._lock:
            pools = [pool for pool in (self._current, *self._earlier.values()) if pool is not None]
        return [session.child for pool in pools for session in pool.free if session.child is not None]

    def close(self) -> None:
        """End every session."""
        with self._lock:
            pools = [pool for pool in (self._current, *self._earlier.values()) if pool is not None]
            self._current = None
            self._earlier.clear()
        for pool in pools:
            pool.close()


def said(error: DistillwatchError, settings: ConsoleSettings) -> str:
    """What may be shown of an error: its message, without where the lake and the state file lie on this machine."""
    text = error.message
    if isinstance(error, QueryFailed) and _DAMAGED.search(text):
        text += " A file of the lake is missing or damaged: `distillwatch verify --lake DIR` names it; restore it from a copy of the lake."
    for path, name in ((settings.state_file, "STATE"), (settings.lake, "LAKE")):
        for place in sorted({str(path.absolute()), str(path.resolve())}, key=len, reverse=True):
            text = _path_in(place).sub(name, text)
    return text


@cache
def _path_in(place: str) -> re.Pattern[str]:
    """An absolute path as whole components: neither the end of a longer path nor the beginning of another name."""
    return re.compile(rf"(?:(?<=://)|(?<![\w.~/-])){re.escape(place)}(?![\w]|[.@+~-]+\w)")
