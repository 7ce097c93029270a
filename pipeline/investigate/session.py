"""One session of questions to a lake: SQL through the sandbox, profiles by the reader, both of one snapshot.

SQL runs in a confined process. Profiles are read by the caller's own process, which is not confined: it may read and
write whatever its user may. Both are recorded before they begin.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from pipeline.assembly import engine_for
from pipeline.clock import SystemClock
from pipeline.errors import UsageError
from pipeline.investigate.asked import Asked
from pipeline.lake import Lake
from pipeline.lake.paths import LAKE_FILE
from pipeline.lake.reader import read_profiles

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from types import TracebackType

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from pipeline.engine import Engine
    from pipeline.investigate.case import Case
    from pipeline.lake import Snapshot
    from pipeline.profiles import Profiles
    from pipeline.sandbox import AuditLog

READ_HERE = (
    "profiles of accounts, read from the landed files by the asking process itself, outside the sandbox"
)
"""What the record says in the place of SQL."""


class Answered(Protocol):
    """What comes back from `Asking`."""

    @property
    def table(self) -> pa.Table:
        """The rows."""
        ...

    @property
    def truncated(self) -> bool:
        """Whether rows were left out."""
        ...


class Asking(Protocol):
    """Where questions go: `pipeline.sandbox.Sandbox`, or what a test puts in its place."""

    @property
    def manifest(self) -> int:
        """Number of the manifest that is read."""
        ...

    @property
    def who(self) -> str:
        """Who asks."""
        ...

    @property
    def case(self) -> str | None:
        """The case that the questions belong to."""
        ...

    @property
    def audit(self) -> AuditLog:
        """Where questions are recorded."""
        ...

    def ask(self, sql: str, parameters: Mapping[str, object] | None = None) -> Answered:
        """Rows of one SELECT."""
        ...

    def playbook(self, name: str, parameters: Mapping[str, object] | None = None) -> Answered:
        """Rows of a playbook."""
        ...

    def close(self) -> None:
        """End the session."""
        ...


class Investigation:
    """A session on one lake, made by `open_lake`; a context manager.

    Parameters
    ----------
    lake
        The lake's folder, opened.
    session
        Where questions go.
    as_of
        Number of the manifest that both are to be seen as of; None: as they are now.
    """

    def __init__(self, lake: Lake, session: Asking, as_of: int | None = None) -> None:
        self.lake = lake
        self._session = session
        self._as_of = as_of

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del kind, error, trace
        self.close()

    def close(self) -> None:
        """End the session."""
        self._session.close()

    @property
    def manifest(self) -> int:
        """Number of the manifest that every question is answered from."""
        return self._session.manifest

    @cached_property
    def inexact(self) -> str | None:
        """What is not as it was when the manifest that was asked for was published, in a sentence; None: nothing."""
        return None if self._as_of is None else self.lake.manifest(self._as_of).inexact

    @cached_property
    def snapshot(self) -> Snapshot:
        """What profiles are read from: the lake as of the manifest that was asked for.

        Where none was, the session's manifest and what landed after it until this was asked.
        """
        if self._as_of is not None:
            return self.lake.as_of(self._as_of)
        newest = self.lake.manifest().number
        return (
            self.lake.snapshot()
            if self.manifest == newest
            else self.lake.snapshot(self.lake.manifest(self.manifest))
        )

    @cached_property
    def engine(self) -> Engine:
        """Computes this lake's profiles."""
        return engine_for(self.lake, "numpy")

    def ask(self, sql: str, /, **parameters: object) -> pa.Table:
        """Rows of one SELECT; `$name` in it is bound to the argument of that name.

        Raises
        ------
        UsageError
            It is not a statement that a session may run.
        """
        return self._whole(self._session.ask(sql, parameters or None), "the query")

    def playbook(self, name: str, /, **parameters: object) -> pa.Table:
        """Rows of a playbook (`distillwatch sql --list` shows them all)."""
        return self._whole(self._session.playbook(name, parameters), name)

    def asked(self, name: str, /, **parameters: object) -> Asked:
        """The same with what was asked, for showing both."""
        return Asked.of(name, parameters, self.playbook(name, **parameters))

    def case(
        self,
        subject: str,
        report: Callable[[int, int, str], None] = lambda _done, _total, _what: None,
    ) -> Case:
        """Everything that a case file shows about an account or a cluster; ``report`` is told (done, total, what).

        Raises
        ------
        UsageError
            The lake knows nothing of that name.
        """
        from pipeline.investigate.case import gather

        return gather(self, subject, report)

    def profiles(
        self,
        accounts: Sequence[str] | str | None = None,
        start: datetime | None = None,
        stop: datetime | None = None,
    ) -> Profiles:
        """Profiles by account and window, as arrays: ``p.column("records")``, ``p.askable["topic_count"]``, ``p.embedding_sum``.

        They add (`Profiles.merge`), subtract (`Profiles.subtract`) and total (`by_account`, `total`); numbers are read
        from them by `pipeline.readings`.

        This process reads them from the landed files, without the confinement and the limits of `ask`; it is recorded
        like a query, before anything is read.

        Parameters
        ----------
        accounts
            One account, several, or None for all.
        start, stop
            Windows with ``start <= window_start < stop``.
        """
        wanted = [accounts] if isinstance(accounts, str) else accounts
        session = self._session
        entry = session.audit.asked(
            who=session.who,
            case=session.case,
            sql=READ_HERE,
            parameters={
                "accounts": None if wanted is None else list(wanted),
                "start": start,
                "stop": stop,
            },
            manifest=self.manifest,
            guard="none",
        )
        clock = SystemClock()
        began = clock.monotonic()
        try:
            found = read_profiles(self.snapshot, self.engine, wanted, start, stop)
        except BaseException as error:
            session.audit.ended(entry, outcome="failed", reason=repr(error)[:2000])
            raise
        session.audit.ended(
            entry,
            outcome="answered",
            rows=len(found.records),
            milliseconds=(clock.monotonic() - began) * 1000,
        )
        return found

    def merged(self, accounts: Sequence[str], name: str = "together") -> Profiles:
        """One profile of several accounts together, as if they were one; read and recorded as `profiles` are."""
        return self.profiles(accounts).total(name)

    def vectors(self, subject: str, newest: int = 2000) -> tuple[pa.Table, NDArray[np.int8]]:
        """The newest records of an account or a cluster, and their grid vectors int8[n, d]."""
        from pipeline.investigate.projection import grid

        rows = self.playbook("case_prompts", subject=subject, newest=newest)
        return rows.drop_columns(["embedding"]), grid(rows["embedding"], self.lake.config.space.dimension)

    @staticmethod
    def _whole(answer: Answered, what: str) -> pa.Table:
        if answer.truncated:
            msg = f"{what} has more rows than a session hands out ({answer.table.num_rows:,}); ask for fewer"
            raise UsageError(msg)
        return answer.table


def open_lake(
    path: str | os.PathLike[str],
    *,
    who: str,
    case: str | None = None,
    manifest: int | None = None,
    audit: Path | None = None,
    weaker_guard: bool = False,
    **limits: Any,
) -> Investigation:
    """Open a lake for questions.

    Parameters
    ----------
    path
        The lake's folder.
    who
        Who asks; goes into the audit record before each question is run.
    case
        The case that the questions belong to, likewise.
    manifest
        See the lake as it was when this manifest was published; None: as it is now. One that cannot be seen exactly says
        so in `Investigation.inexact`.
    audit
        File of the audit record; None: ``audit/queries.jsonl`` in the lake.
    weaker_guard
        Go on where the machine cannot confine a process.
    limits
        Fields of `pipeline.sandbox.Limits`: ``seconds``, ``memory_bytes``, ``rows``, ``threads``.

    Raises
    ------
    UsageError
        There is no lake at this path, or nobody asks.
    """
    from pipeline.sandbox import AuditLog, Limits, Sandbox

    root = Path(path)
    if not (root / LAKE_FILE).is_file():
        msg = f"{root} is no lake (it has no {LAKE_FILE})"
        raise UsageError(msg)
    if not who.strip():
        msg = "say who asks (who=…): every question is recorded with a name"
        raise UsageError(msg)
    session = Sandbox(
        root,
        who=who,
        case=case,
        manifest=manifest,
        limits=Limits(**limits),
        audit=None if audit is None else AuditLog(audit),
        weaker_guard=weaker_guard,
    )
    return Investigation(Lake.open(root), session, manifest)
