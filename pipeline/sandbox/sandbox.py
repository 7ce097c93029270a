"""`Sandbox`: one session over a lake in a confined process, every query recorded before it runs."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.clock import SystemClock
from pipeline.errors import DistillwatchError, QueryFailed, QueryKilled, SandboxMissing, UsageError
from pipeline.sandbox import frames, landlock, values
from pipeline.sandbox.audit import AuditLog, Entry
from pipeline.sandbox.catalogue import Catalogue
from pipeline.sandbox.limits import DEFAULT_LIMITS, Answer, Limits
from pipeline.sandbox.process import Warden

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from types import TracebackType

    import pyarrow as pa

AUDIT_FILE = "audit/queries.jsonl"


class Sandbox:
    """A session that reads one snapshot of a lake and cannot do anything else.

    Safe to share between threads: they wait for each other, because there is one child. Use it as a context
    manager, or `close` it.

    Parameters
    ----------
    lake
        Folder of the lake.
    who
        Who asks, for the record.
    case
        The case it is asked for.
    limits
        What each query may take.
    audit
        Where queries are recorded; None: ``audit/queries.jsonl`` in the lake's folder.
    manifest
        Number of an earlier manifest; None: the newest.
    weaker_guard
        Go on where the kernel cannot confine the process. Then only DuckDB's settings, the gate and the limits hold.

    Raises
    ------
    SandboxMissing
        This machine cannot confine the process and ``weaker_guard`` is not set.
    UsageError
        There is no lake, or no longer what that manifest names.
    """

    def __init__(
        self,
        lake: str | os.PathLike[str],
        *,
        who: str,
        case: str | None = None,
        limits: Limits = DEFAULT_LIMITS,
        audit: AuditLog | None = None,
        manifest: int | None = None,
        weaker_guard: bool = False,
        _locked: bool = True,
    ) -> None:
        self.lake = Path(lake).resolve()
        self.who, self.case, self.limits = who, case, limits
        self.audit = audit or AuditLog(self.lake / AUDIT_FILE)
        self._weaker = weaker_guard
        self._asked_manifest = manifest
        self._locked = _locked
        self._clock = SystemClock()
        self._lock = threading.RLock()
        self._cancelled = threading.Event()
        self._warden: Warden | None = None
        self.child: int | None = None
        self._unchecked = False
        self.described: Mapping[str, Any] = {}
        self.guard = "landlock"
        self.manifest: int = self._open().about["manifest"]

    def _open(self) -> Warden:
        version = landlock.abi()
        if version == 0 and not self._weaker:
            msg = (
                f"queries cannot be confined on this machine: {landlock.why_missing()}. With --weaker-guard they run "
                "all the same, kept by DuckDB's settings, the check of each statement, and the limits of time and memory"
            )
            raise SandboxMissing(msg)
        settings = {
            "lake": str(self.lake),
            # A session that has to be opened again stays on what it saw.
            "manifest": getattr(self, "manifest", self._asked_manifest),
            "landlock": version > 0,
            "memory": self.limits.memory_bytes,
            "threads": self.limits.threads,
            "locked": self._locked,
        }
        warden = Warden(settings)
        guard = warden.about["guard"]
        # Before version 4 Landlock knows no network, before 3 no truncation; the filter of calls covers both.
        whole = guard["landlock"] >= 4 or (guard["landlock"] > 0 and guard["seccomp"])
        if not whole and not self._weaker:
            warden.close()
            msg = (
                f"queries cannot be kept from the network on this machine: Landlock has version {guard['landlock']} "
                "(4 is needed) and the kernel refuses a filter of system calls; --weaker-guard accepts that"
            )
            raise SandboxMissing(msg)
        parts = [f"landlock {guard['landlock']}"] if guard["landlock"] else []
        parts += ["seccomp"] if guard["seccomp"] else []
        self.guard = ", ".join(parts) or "none"
        self._warden = warden
        return warden

    def ask(
        self,
        sql: str,
        parameters: Mapping[str, object] | None = None,
        *,
        case: str | None = None,
        who: str | None = None,
        limits: Limits | None = None,
        about: Mapping[str, object] | None = None,
        _gate: bool = True,
        _fresh: bool = True,
    ) -> Answer:
        """Run one reading statement.

        Parameters
        ----------
        sql
            One SELECT, or DESCRIBE, SUMMARIZE, SHOW.
        parameters
            Values of its ``$name`` parameters; they are bound.
        limits
            Others than the session's, for this query. Threads stay the session's.
        about
            What else the record is to say, such as the playbook's name.

        Raises
        ------
        UsageError
            The statement is refused; the message says why.
        QueryFailed
            DuckDB could not run it.
        QueryKilled
            It went over a limit or was cancelled.
        """
        given = dict(parameters or {})
        limits = limits or self.limits
        if len(sql) > frames.MOST_TEXT:
            msg = f"the query has {len(sql)} characters; {frames.MOST_TEXT} are the most"
            raise UsageError(msg)
        frames.check_text("the query", sql)
        request = {
            "sql": sql,
            "parameters": frames.pack_all(given),
            "gate": _gate,
            "rows": limits.rows,
            "bytes": limits.answer_bytes,
        }
        with self._lock:
            self._cancelled.clear()
            entry = self.audit.asked(
                who=who or self.who,
                case=case if case is not None else self.case,
                sql=sql,
                parameters=given,
                manifest=self.manifest,
                guard=self.guard,
                **({} if _gate else {"gate": "off"}),
                **(about or {}),
            )
            began = self._clock.monotonic()
            try:
                table, end = self._run(request, limits, fresh=_fresh and not _gate)
            except BaseException as error:
                self._record(entry, error, began)
                raise
            milliseconds = (self._clock.monotonic() - began) * 1000
            self.audit.ended(
                entry,
                outcome="answered",
                rows=table.num_rows,
                milliseconds=milliseconds,
                **({"truncated": True} if end["truncated"] else {}),
            )
        return Answer(table, sql, given, milliseconds, bool(end["truncated"]), self.manifest, entry.hash)

    def _record(self, entry: Entry, error: BaseException, began: float) -> None:
        outcome = "failed"
        if isinstance(error, UsageError):
            outcome = "refused"
        elif isinstance(error, QueryKilled):
            outcome = f"killed: {error.reason}"
        elif isinstance(error, KeyboardInterrupt):
            outcome = "killed: cancelled"
        reason = error.message if isinstance(error, DistillwatchError) else repr(error)
        self.audit.ended(
            entry,
            outcome=outcome,
            milliseconds=(self._clock.monotonic() - began) * 1000,
            reason=reason[:2000],
        )

    def _run(
        self, request: Mapping[str, Any], limits: Limits, *, fresh: bool
    ) -> tuple[pa.Table, Mapping[str, Any]]:
        warden = self._ready(fresh=fresh, gate=request["gate"])
        try:
            data, end = warden.query(
                request,
                limits.seconds,
                limits.memory_bytes,
                limits.answer_bytes,
                cancelled=self._cancelled.is_set,
            )
        except (ConnectionError, BrokenPipeError) as error:
            warden.close()
            self._warden = None
            msg = "the process that watches queries is gone; ask again"
            raise QueryKilled(reason="gone", message=msg) from error
        finally:
            if fresh and self._warden is not None:
                warden.drop_child()
        return _table(data), end

    def _ready(self, *, fresh: bool, gate: bool = True) -> Warden:
        if self._warden is not None and not self._warden.alive:
            self._warden.close()
            self._warden = None
        warden = self._warden or self._open()
        # What an unchecked statement left in a process is nothing that a checked one should meet.
        if fresh or not warden.has_child or (gate and self._unchecked):
            self._unchecked = False
            self.described = warden.start_child({})
            self.child = self.described["pid"]
        self._unchecked |= not gate
        return warden

    @property
    def catalogue(self) -> Catalogue:
        """What can be asked: relations with their columns, macros."""
        self.warm()
        return Catalogue.parse(self.described)

    def warm(self) -> None:
        """Open the session now and not with the first query."""
        with self._lock:
            self._ready(fresh=False, gate=not self._unchecked)

    def refresh(self) -> int:
        """Go on with the lake as it is now; the number of its manifest. A session with a manifest of its own stays."""
        with self._lock:
            warden = self._warden or self._open()
            self.manifest = int(warden.refresh()["manifest"])
            return self.manifest

    def cancel(self) -> None:
        """End the running query, from another thread."""
        self._cancelled.set()

    def playbook(
        self,
        name: str,
        parameters: Mapping[str, object] | None = None,
        *,
        case: str | None = None,
        who: str | None = None,
        limits: Limits | None = None,
    ) -> Answer:
        """Run a playbook. Values may be typed or texts; what is missing has the default of its header.

        Raises
        ------
        UsageError
            There is no such playbook, or a parameter is unknown, missing or of another type.
        """
        from pipeline.warehouse import tree

        file = tree.playbook(name)
        given = dict(parameters or {})
        texts = {key: value for key, value in given.items() if isinstance(value, str)}
        typed = {key: value for key, value in given.items() if not isinstance(value, str)}
        # A stand-in text for typed values, so that unknown names and missing ones are found in one place.
        stand_in = {"text": "", "integer": "0", "number": "0", "boolean": "true", "timestamp": "2026-01-01"}
        kinds = {parameter.name: parameter.type for parameter in file.parameters}
        bound = file.bind({**texts, **{key: stand_in.get(kinds.get(key, "text"), "") for key in typed}})
        return self.ask(
            file.statement, {**bound, **typed}, case=case, who=who, limits=limits, about={"playbook": name}
        )

    def unknown_values(
        self,
        answer: Answer,
        parameters: Mapping[str, object],
        *,
        case: str | None = None,
        who: str | None = None,
    ) -> list[str]:
        """Why an answer has no rows: a sentence for each account or cluster in the parameters that the lake lacks.

        It is asked for in this session, and recorded like any question.
        """
        from pipeline.warehouse.unknown import unknown_values

        if answer.table.num_rows:
            return []
        about = {"why": f"record {answer.audit[:12]} has no rows"}
        return unknown_values(
            parameters,
            lambda sql, values: self.ask(sql, values, case=case, who=who, about=about).table.num_rows > 0,
        )

    def close(self) -> None:
        """End the session's processes."""
        self.cancel()
        with self._lock:
            if self._warden is not None:
                self._warden.close()
                self._warden = None

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _table(data: bytearray) -> pa.Table:
    import pyarrow as pa

    if not data:
        return pa.table({})
    try:
        table = pa.ipc.open_stream(pa.py_buffer(data)).read_all()
        # The bytes come from a process that ran somebody's SQL.
        table.validate(full=True)
        return values.readable(table)
    except pa.ArrowException as error:
        msg = f"the answer cannot be read ({error}); cast what is too wide, as in x::double or x::varchar"
        raise QueryFailed(msg) from error
