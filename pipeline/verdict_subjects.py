"""What a new verdict is held against: the accounts, clusters and alerts that a lake has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from pipeline.alerts import find_alert
from pipeline.errors import LakeError, UsageError
from pipeline.lake.rowgroups import ACCOUNT, SortedFile, gone
from pipeline.lake_accounts import last_window_end
from pipeline.records.pseudonyms import PREFIXES
from pipeline.times import to_text
from pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from pipeline.lake import Lake, Snapshot
    from pipeline.records.pseudonyms import Pseudonyms


@dataclass(frozen=True, slots=True)
class Asked:
    """A verdict as somebody asked for it; nothing of it has been checked.

    Parameters
    ----------
    kind
        ``account`` or ``cluster``; None: whichever of them the lake has.
    """

    subject: str
    verdict: str
    reason: str
    owner: str
    expires_at: datetime | None = None
    alert_id: str | None = None
    case_id: str | None = None
    kind: str | None = None


class LakeSubjects:
    """Looks subjects up in one snapshot of a lake.

    Parameters
    ----------
    names
        What will be looked up: accounts (true names when there are pseudonyms) or clusters.
    pseudonyms
        The lake's key, for verdicts that name accounts by their true names.
    unseen
        Whether accounts may be named that have no records yet.

    Raises
    ------
    UsageError
        The key is not the one the lake was landed with.
    LakeError
        A file of the snapshot was swept meanwhile.
    """

    def __init__(
        self,
        lake: Lake,
        snapshot: Snapshot,
        names: Iterable[str],
        *,
        pseudonyms: Pseudonyms | None = None,
        unseen: bool = False,
    ) -> None:
        self._lake, self._snapshot = lake, snapshot
        self._pseudonyms, self._unseen = pseudonyms, unseen
        wanted = lake.config.pseudonym_fingerprint
        if pseudonyms is not None and pseudonyms.fingerprint != wanted:
            msg = f"this is not the pseudonym key that {lake.root} was landed with; name that one, or none and give pseudonyms"
            raise UsageError(msg)
        self._clusters = clusters_of(snapshot)
        self._accounts = known_accounts(snapshot, {self._account(name) for name in names})
        self.as_of = last_window_end(snapshot, snapshot.config.window_seconds)

    def _account(self, name: str) -> str:
        return name if self._pseudonyms is None else self._pseudonyms.one("account_id", name)

    def verdict(self, asked: Asked, decided_at: datetime) -> Verdict:
        """What was asked for as a verdict that can be added.

        Raises
        ------
        UsageError
            Something is missing or contradicts itself, or the lake does not know the account, cluster or alert.
        """
        kind, name, members = self._subject(asked)
        verdict = Verdict(
            kind,
            name,
            asked.verdict,
            asked.reason,
            asked.owner,
            decided_at,
            asked.expires_at,
            asked.alert_id,
            asked.case_id,
            members=members,
        )
        if verdict.expires_at is not None and self.as_of is not None and verdict.expires_at <= self.as_of:
            msg = (
                f"verdict on {name!r}: it would have expired at {to_text(verdict.expires_at)}, before the lake's newest "
                f"window ends ({to_text(self.as_of)}); give a later date"
            )
            raise UsageError(msg)
        if verdict.alert_id is not None:
            self._check_alert(verdict)
        return verdict

    def _subject(self, asked: Asked) -> tuple[str, str, tuple[str, ...]]:
        account = self._account(asked.subject)
        kinds = {
            "account": account in self._accounts,
            "cluster": asked.subject in self._clusters,
        }
        if asked.kind is not None:
            kinds = {asked.kind: kinds.get(asked.kind, False)}
        found = [kind for kind, there in kinds.items() if there]
        if len(found) > 1:
            msg = f"{asked.subject!r} is both an account and a cluster here; say which with --kind"
            raise UsageError(msg)
        if found == ["cluster"]:
            return "cluster", asked.subject, self._clusters[asked.subject]
        if not found:
            self._check_unseen(asked, account)
        return "account", account, ()

    def _check_unseen(self, asked: Asked, account: str) -> None:
        root = self._lake.root
        if asked.kind == "cluster":
            msg = f"there is no cluster {asked.subject!r} in {root}; the view `cluster_scores` lists them"
            raise UsageError(msg)
        if not self._unseen:
            msg = (
                f"{root} has no records of an account {asked.subject!r} and no such cluster; look at the spelling, or add "
                "--unseen if its records are still to come"
            )
            raise UsageError(msg)
        hidden = self._lake.config.pseudonym_fingerprint is not None
        if hidden and self._pseudonyms is None and not account.startswith(PREFIXES["account_id"]):
            msg = (
                f"{root} holds pseudonyms, and {asked.subject!r} is none; name the key with --pseudonym-key, or give the "
                "account's pseudonym"
            )
            raise UsageError(msg)

    def _check_alert(self, verdict: Verdict) -> None:
        assert verdict.alert_id is not None
        try:
            alert = find_alert(self._lake, self._snapshot, verdict.alert_id)
        except LakeError as error:
            msg = f"verdict on {verdict.subject_id!r}: {error}"
            raise UsageError(msg) from error
        if verdict.subject_id != alert.subject_id and verdict.subject_id not in alert.members:
            msg = (
                f"{alert.alert_id} is about {alert.subject_kind} {alert.subject_id}, not about {verdict.subject_id!r}; name "
                "that one, or no alert"
            )
            raise UsageError(msg)


def known_accounts(snapshot: Snapshot, names: Iterable[str]) -> frozenset[str]:
    """Those of these accounts that have landed records.

    Raises
    ------
    LakeError
        A file of the snapshot was swept meanwhile.
    """
    missing = set(names)
    found: set[str] = set()
    try:
        for path in [*snapshot.window_files(), *snapshot.loose_files()]:
            if not missing:
                break
            table = SortedFile(path).of_accounts(sorted(missing), [ACCOUNT])
            here = set(table.column(ACCOUNT).unique().to_pylist())
            found |= here
            missing -= here
    except FileNotFoundError as error:
        raise gone(error) from error
    return frozenset(found)


def clusters_of(snapshot: Snapshot) -> Mapping[str, tuple[str, ...]]:
    """Cluster to its members, sorted: of the newest scoring, else of the newest alert about it."""
    found: dict[str, tuple[datetime, tuple[str, ...]]] = {}
    for path in snapshot.table_files("alerts"):
        columns = ["subject_id", "as_of", "members"]
        rows = pq.read_table(path, columns=columns, filters=[("subject_kind", "=", "cluster")])
        for row in rows.to_pylist():
            found[row["subject_id"]] = max(
                found.get(row["subject_id"], (row["as_of"], ())), (row["as_of"], tuple(row["members"]))
            )
    members: dict[str, set[str]] = {}
    for path in snapshot.table_files("clusters"):
        for row in pq.read_table(path, columns=["cluster_id", "account_id"]).to_pylist():
            members.setdefault(row["cluster_id"], set()).add(row["account_id"])
    return {
        **{name: accounts for name, (_, accounts) in found.items()},
        **{name: tuple(sorted(accounts)) for name, accounts in members.items()},
    }
