"""Verdicts: what people decided about accounts and clusters, and what of it stands as of a time.

Verdicts are rows of the lake's table ``verdicts``. Rows are only ever added: a later verdict overrules an earlier one on
the same subject, a withdrawal takes one back, an expiry ends it. What stands (`standing`) is a function of the set of
rows and of a time of the data, never of a clock nor of the order in which rows were added.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import LakeError, UsageError
from pipeline.lake.documents import canonical
from pipeline.tables import SUBJECT_KINDS, VERDICTS
from pipeline.times import to_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.lake import Lake, Manifest, Snapshot

ATTACK, BENIGN, ALLOWED, UNDECIDED = DECIDED = ("attack", "benign", "allowed", "undecided")
WITHDRAWN = "withdrawn"
TABLE = "verdicts"

STANDS, OVERRULED, EXPIRED, TAKEN_BACK, WITHDRAWAL = (
    "stands",
    "overruled",
    "expired",
    "withdrawn",
    "withdrawal",
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row of `verdicts`; times naive UTC.

    Parameters
    ----------
    verdict
        One of `DECIDED`, or `WITHDRAWN`.
    owner
        Who answers for it.
    expires_at
        It stands as of every time before this one; None: for ever.
    withdraws
        Id of the verdict that a withdrawal takes back.
    members
        Accounts of the cluster when it was decided, sorted: the verdict holds for them too.

    Raises
    ------
    UsageError
        Something is missing or contradicts itself.
    """

    subject_kind: str
    subject_id: str
    verdict: str
    reason: str
    owner: str
    decided_at: datetime
    expires_at: datetime | None = None
    alert_id: str | None = None
    case_id: str | None = None
    withdraws: str | None = None
    members: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem is not None:
            msg = f"verdict on {self.subject_id!r}: {problem}"
            raise UsageError(msg)

    def _problem(self) -> str | None:
        decided = self.verdict in DECIDED
        for wrong, text in (
            (
                not decided and self.verdict != WITHDRAWN,
                f"{self.verdict!r} is none of {', '.join(DECIDED)}",
            ),
            (self.subject_kind not in SUBJECT_KINDS, f"{self.subject_kind!r} is neither account nor cluster"),
            (not self.subject_id, "it names no account or cluster"),
            (not self.reason.strip(), "it has no reason; say what was found and by whom"),
            (not self.owner.strip(), "it has no owner; name who answers for it"),
            (
                self.verdict == ALLOWED and self.expires_at is None,
                "`allowed` needs a date on which it expires",
            ),
            (
                self.verdict != ALLOWED and self.expires_at is not None,
                f"only `allowed` expires, {self.verdict} does not",
            ),
            (
                decided == (self.withdraws is not None),
                "a withdrawal, and nothing else, names what it withdraws",
            ),
        ):
            if wrong:
                return text
        return None

    @property
    def verdict_id(self) -> str:
        """Of everything that it says."""
        said = [
            self.subject_kind,
            self.subject_id,
            self.verdict,
            self.reason,
            self.owner,
            to_text(self.decided_at),
            to_text(self.expires_at),
            self.alert_id,
            self.case_id,
            self.withdraws,
            list(self.members),
        ]
        return f"verdict-{hashlib.blake2b(canonical(said), digest_size=16).hexdigest()}"

    @property
    def subject(self) -> tuple[str, str]:
        """Kind and id."""
        return self.subject_kind, self.subject_id

    def says_the_same(self, other: Verdict) -> bool:
        """Whether they differ in nothing but when they were decided."""
        return all(
            getattr(self, name) == getattr(other, name)
            for name in VERDICTS.names
            if name not in {"verdict_id", "decided_at"}
        )

    def to_row(self) -> dict[str, Any]:
        """Values of the table's columns."""
        row = {name: getattr(self, name) for name in VERDICTS.names}
        return {**row, "members": list(self.members) or None}

    @classmethod
    def from_row(cls, row: Mapping[str, Any], where: object) -> Verdict:
        """What `to_row` gave.

        Raises
        ------
        LakeError
            It is no verdict, or says something else than its id does.
        """
        values = {name: row[name] for name in VERDICTS.names if name != "verdict_id"}
        try:
            verdict = cls(**{**values, "members": tuple(values["members"] or ())})
        except (UsageError, AttributeError) as error:
            msg = f"{where}: {row['verdict_id']} is no verdict ({error}); restore the file from a copy of the lake"
            raise LakeError(msg) from error
        if verdict.verdict_id != row["verdict_id"]:
            msg = (
                f"{where}: {row['verdict_id']} was changed, what it says has the id {verdict.verdict_id}; restore the "
                "file from a copy of the lake"
            )
            raise LakeError(msg)
        return verdict


def _newest_first(verdict: Verdict) -> tuple[timedelta, str]:
    # Two that were decided in the same microsecond: the smaller id, as the view `verdicts` has it.
    return datetime.max - verdict.decided_at, verdict.verdict_id


@dataclass(frozen=True, slots=True)
class Standing:
    """The verdicts that stand as of a time.

    Parameters
    ----------
    as_of
        The time of the data, naive UTC; None (an empty lake): nothing has expired.
    accounts
        Account to the verdict that holds for it: its own, else that of a cluster that it was a member of.
    clusters
        Cluster to its verdict.
    """

    as_of: datetime | None = None
    accounts: Mapping[str, Verdict] = field(default_factory=dict)
    clusters: Mapping[str, Verdict] = field(default_factory=dict)

    @property
    def allowed(self) -> dict[str, Verdict]:
        """Accounts on the allow-list."""
        return self._said(ALLOWED)

    @property
    def benign(self) -> dict[str, Verdict]:
        """Accounts found benign."""
        return self._said(BENIGN)

    @property
    def attack(self) -> dict[str, Verdict]:
        """Accounts found attacking."""
        return self._said(ATTACK)

    def _said(self, verdict: str) -> dict[str, Verdict]:
        return {name: each for name, each in self.accounts.items() if each.verdict == verdict}

    def rows(self, account_ids: Iterable[str], verdict: str) -> NDArray[np.bool_]:
        """Which of n accounts this verdict holds for, bool[n]."""
        chosen = self._said(verdict)
        return np.array([name in chosen for name in account_ids], np.bool_)

    def verdict_ids(self, account_ids: Iterable[str]) -> list[str | None]:
        """Id of the verdict that holds for each account."""
        return [
            None if (found := self.accounts.get(name)) is None else found.verdict_id for name in account_ids
        ]

    @property
    def used(self) -> tuple[Verdict, ...]:
        """Every verdict that holds for an account or a cluster, by id."""
        found = {each.verdict_id: each for each in (*self.accounts.values(), *self.clusters.values())}
        return tuple(found[key] for key in sorted(found))

    def counts(self) -> dict[str, int]:
        """How many of `used` say what."""
        said = [each.verdict for each in self.used]
        return {verdict: said.count(verdict) for verdict in DECIDED}

    @property
    def digest(self) -> str | None:
        """BLAKE2b-128 over what holds for whom, in hex; None when nothing does."""
        held = sorted(
            [kind, name, each.verdict_id]
            for kind, verdicts in (("account", self.accounts), ("cluster", self.clusters))
            for name, each in verdicts.items()
        )
        return hashlib.blake2b(canonical(held), digest_size=16).hexdigest() if held else None


def states(verdicts: Iterable[Verdict], as_of: datetime | None) -> dict[str, str]:
    """Verdict id to one of ``stands``, ``overruled``, ``expired``, ``withdrawn``, ``withdrawal``.

    The newest word on a subject counts: when it has expired, what it overruled does not stand again. A verdict that was
    withdrawn counts as never said: what it overruled stands again.
    """
    rows = {each.verdict_id: each for each in verdicts}
    taken_back = {each.withdraws for each in rows.values()}
    found, seen = {}, set()
    for each in sorted(rows.values(), key=_newest_first):
        if each.withdraws is not None:
            state = WITHDRAWAL
        elif each.verdict_id in taken_back:
            state = TAKEN_BACK
        elif each.subject in seen:
            state = OVERRULED
        else:
            seen.add(each.subject)
            state = EXPIRED if expired(each, as_of) else STANDS
        found[each.verdict_id] = state
    return found


def expired(verdict: Verdict, as_of: datetime | None) -> bool:
    """Whether a verdict does not stand any more: from its expiry on."""
    return verdict.expires_at is not None and as_of is not None and as_of >= verdict.expires_at


def stand(verdicts: Iterable[Verdict], as_of: datetime | None) -> Standing:
    """Which of these verdicts stand; see `states`."""
    rows = {each.verdict_id: each for each in verdicts}
    state = states(rows.values(), as_of)
    live = sorted((each for key, each in rows.items() if state[key] == STANDS), key=_newest_first)
    clusters = {each.subject_id: each for each in live if each.subject_kind == "cluster"}
    accounts = {each.subject_id: each for each in live if each.subject_kind == "account"}
    for each in clusters.values():
        for member in each.members:
            accounts.setdefault(member, each)
    return Standing(as_of, accounts, clusters)


def standing(snapshot: Snapshot, as_of: datetime | None) -> Standing:
    """The verdicts of a lake that stand as of a time of its data (naive UTC).

    Raises
    ------
    LakeError
        A verdict was changed.
    """
    return stand(read_verdicts(snapshot), as_of)


def standing_then(lake: Lake, manifest: int, digest: str | None, as_of: datetime | None) -> Standing:
    """What stood when an alert was raised, as its provenance names it.

    Parameters
    ----------
    manifest
        Number of the manifest that was read. The files of the table that it names are named by every later one too.
    digest
        Of what stood; None: nothing did.

    Raises
    ------
    LakeError
        The lake gives other verdicts than those.
    """
    if digest is None:
        return Standing(as_of)
    paths = [lake.store.path(file.path) for file in lake.manifest(manifest).tables.get(TABLE, ())]
    found = stand(_read(paths), as_of)
    if found.digest != digest:
        msg = (
            f"the verdicts of manifest {manifest} have digest {found.digest}, not {digest}: rows were lost, added or "
            "changed; restore the lake's tables and manifests from a copy"
        )
        raise LakeError(msg)
    return found


def read_verdicts(snapshot: Snapshot) -> list[Verdict]:
    """Every row that was ever added, withdrawals included, newest first.

    Raises
    ------
    LakeError
        One of them was changed.
    """
    return _read(snapshot.table_files(TABLE))


def _read(paths: Iterable[Path]) -> list[Verdict]:
    found = {}
    for path in paths:
        try:
            rows = pq.read_table(path).to_pylist()
        except FileNotFoundError as error:
            msg = f"{path} is gone, and a manifest names it; restore it from a copy of the lake"
            raise LakeError(msg) from error
        for row in rows:
            verdict = Verdict.from_row(row, path)
            found[verdict.verdict_id] = verdict
    return sorted(found.values(), key=_newest_first)


def verdict_table(verdicts: Iterable[Verdict]) -> pa.Table:
    """Rows of `verdicts`, each once, by time and id."""
    rows = {each.verdict_id: each for each in verdicts}
    ordered = sorted(rows.values(), key=lambda each: (each.decided_at, each.verdict_id))
    return pa.Table.from_pylist([each.to_row() for each in ordered], schema=VERDICTS)


def record(lake: Lake, verdicts: Sequence[Verdict]) -> Manifest:
    """Add verdicts to a lake; whoever adds others at the same moment keeps theirs.

    Files are only ever added, never put together: so the files of an old manifest, by which an alert is derived again,
    are named by the newest one too and no sweep takes them.
    """
    if not verdicts:
        return lake.manifest()
    new = lake.put_table(TABLE, verdict_table(verdicts))
    return lake.publish(lambda manifest: manifest.with_tables(TABLE, [new], append=True))


def withdrawal(
    snapshot: Snapshot, verdict_id: str, *, reason: str, owner: str, decided_at: datetime
) -> Verdict:
    """The row that takes a verdict back; `record` adds it.

    Raises
    ------
    UsageError
        There is no such verdict, it is a withdrawal itself, or it was withdrawn already.
    """
    rows = read_verdicts(snapshot)
    found = next((each for each in rows if each.verdict_id == verdict_id), None)
    if found is None:
        msg = f"there is no verdict {verdict_id} in {snapshot.store.root}; `distillwatch verdict list --all` names them"
        raise UsageError(msg)
    if found.withdraws is not None:
        msg = f"{verdict_id} is itself a withdrawal; add the verdict on {found.subject_id} again instead"
        raise UsageError(msg)
    by = next((each for each in rows if each.withdraws == verdict_id), None)
    if by is not None:
        msg = f"{verdict_id} was withdrawn already, by {by.owner} at {to_text(by.decided_at)} ({by.reason})"
        raise UsageError(msg)
    return Verdict(
        found.subject_kind, found.subject_id, WITHDRAWN, reason, owner, decided_at, withdraws=verdict_id
    )
