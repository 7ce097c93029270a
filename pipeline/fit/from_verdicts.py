"""What an operator's verdicts teach: accounts with a known answer, their ranks in their lake, and figures by cross-validation.

Verdicts are no sample of the accounts: people look where an alert is. Figures over them say whether a refit tells these
cases apart better than before; they are no rates of the population.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.detectors.base import MIN_RECORDS
from pipeline.detectors.reference import Distribution
from pipeline.detectors.robust import LAKE
from pipeline.errors import UsageError
from pipeline.lake.documents import canonical
from pipeline.signals import SignalTable
from pipeline.tables import SIGNAL_COLUMNS, empty_table
from pipeline.verdicts import ATTACK, BENIGN, standing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pipeline.detectors.forest.model import Forest
    from pipeline.lake import Snapshot

    Refit = Callable[[Forest, SignalTable, NDArray[np.bool_], NDArray[np.float64]], Forest]

# With fewer, a fit learns the cases by heart and its figures are noise.
MIN_ATTACK = 20
MIN_BENIGN = 100
FOLDS = 5
LEVEL = 0.01
AREA_DIGITS = 4

BETTER, EQUAL, WORSE, MIXED = "better", "equal", "worse", "mixed"


@dataclass(frozen=True, slots=True)
class Labelled:
    """Accounts whose standing verdict is attack or benign, n of them, by account id.

    Parameters
    ----------
    table
        Their signals as the newest scoring of their lake found them.
    ranks
        Mid-ranks of these among all scorable accounts of their lake, which is what a forest is fitted to; NaN without a
        value.
    attack
        bool[n].
    verdict_id
        The verdict on each. Members of one cluster share one.
    lake
        int64[n], place in ``lakes``.
    lakes
        All scorable accounts of each lake: among these a forest judges.
    """

    table: SignalTable
    ranks: SignalTable
    attack: NDArray[np.bool_]
    verdict_id: tuple[str, ...]
    lake: NDArray[np.int64]
    lakes: tuple[SignalTable, ...]

    def __len__(self) -> int:
        return len(self.attack)

    @property
    def digest(self) -> str:
        """BLAKE2b-128 over accounts, answers, verdicts and ranks, in hex."""
        digest = hashlib.blake2b(digest_size=16)
        rows = zip(self.table.account_id.tolist(), self.attack.tolist(), self.verdict_id, strict=True)
        digest.update(canonical([list(row) for row in rows]))
        for name, values in sorted(self.ranks.columns.items()):
            digest.update(name.encode() + b"\0" + np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()

    @classmethod
    def joined(cls, parts: Sequence[Labelled]) -> Labelled:
        """Of several lakes."""
        names = list(SIGNAL_COLUMNS)
        first = np.cumsum([0, *(len(part.lakes) for part in parts)])
        return cls(
            SignalTable.joined([part.table for part in parts], names),
            SignalTable.joined([part.ranks for part in parts], names),
            np.concatenate([np.empty(0, np.bool_), *(part.attack for part in parts)]),
            tuple(name for part in parts for name in part.verdict_id),
            np.concatenate(
                [np.empty(0, np.int64), *(p.lake + by for p, by in zip(parts, first, strict=False))]
            ),
            tuple(lake for part in parts for lake in part.lakes),
        )

    def check(self) -> None:
        """Refuse to learn from too little.

        Raises
        ------
        UsageError
            Fewer than `MIN_ATTACK` or `MIN_BENIGN` accounts; the message says how many are missing.
        """
        attack = int(self.attack.sum())
        missing = [
            f"{wanted - there} more found {word} ({there} of {wanted})"
            for word, there, wanted in (
                ("attacking", attack, MIN_ATTACK),
                ("benign", len(self) - attack, MIN_BENIGN),
            )
            if there < wanted
        ]
        if missing:
            msg = (
                f"too few verdicts to learn from: it takes {' and '.join(missing)}, of accounts with at least {MIN_RECORDS} "
                "records in the newest scoring; `distillwatch verdict add` and `import` take more, --lake names more lakes"
            )
            raise UsageError(msg)


def labelled_accounts(snapshot: Snapshot) -> Labelled:
    """Accounts of a lake whose verdict, attack or benign, stands as of its newest scoring.

    Raises
    ------
    UsageError
        The lake was never scored.
    """
    scores = _newest(snapshot)
    scores = scores.filter(pc.greater_equal(scores["records"], MIN_RECORDS)).sort_by("account_id")
    names = np.array(scores["account_id"].to_pylist(), object)
    as_of = scores["as_of"][0].as_py() if scores.num_rows else None
    stands = standing(snapshot, as_of)
    attack = stands.rows(names, ATTACK)
    chosen = attack | stands.rows(names, BENIGN)
    values = {name: _floats(scores[name]) for name in SIGNAL_COLUMNS}
    # Among all, the attackers included: so are those who are still to be found when the forest judges.
    ranks = {name: Distribution.of(column).rank(column) for name, column in values.items()}
    records = scores["records"].to_numpy().astype(np.int64)

    lake = SignalTable(names, records, values)
    ids = tuple(stands.accounts[name].verdict_id for name in names[chosen])
    return Labelled(
        lake.take(chosen),
        SignalTable(names, records, ranks).take(chosen),
        attack[chosen],
        ids,
        np.zeros(int(chosen.sum()), np.int64),
        (lake,),
    )


def _newest(snapshot: Snapshot) -> pa.Table:
    files = snapshot.table_files("account_scores")
    if not files:
        msg = f"{snapshot.store.root} was never scored, so its accounts have no signals; run `distillwatch score --lake {snapshot.store.root}`"
        raise UsageError(msg)
    table = pa.concat_tables([empty_table("account_scores"), *(pq.read_table(path) for path in files)])
    return table.filter(pc.equal(table["as_of"], pc.max(table["as_of"])))


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return np.asarray(column.to_numpy(), np.float64)


def folds_of(labelled: Labelled, folds: int = FOLDS) -> NDArray[np.int64]:
    """The fold of each account, int64[n]: accounts under one verdict together, both answers spread evenly.

    A function of the set of verdicts, not of their order.
    """
    found = np.zeros(len(labelled), np.int64)
    for answer in (True, False):
        mine = [row for row in range(len(labelled)) if bool(labelled.attack[row]) == answer]
        sizes: dict[str, int] = {}
        for row in mine:
            sizes[labelled.verdict_id[row]] = sizes.get(labelled.verdict_id[row], 0) + 1
        load = [0] * folds
        place: dict[str, int] = {}
        # The largest first, each to the emptiest fold: a cluster of twenty does not make one fold of all attackers.
        for verdict in sorted(sizes, key=lambda name: (-sizes[name], name)):
            place[verdict] = min(range(folds), key=lambda fold: (load[fold], fold))
            load[place[verdict]] += sizes[verdict]
        for row in mine:
            found[row] = place[labelled.verdict_id[row]]
    return found


@dataclass(frozen=True, slots=True)
class Figures:
    """How well a forest tells the labelled accounts apart: who has a p-value of at most `LEVEL`, and the ranking.

    An account that nothing can be said of is in no list and ranks below all others.
    """

    benign: int
    false_positives: int
    attack: int
    found: int
    area: float


@dataclass(frozen=True, slots=True)
class Change:
    """One figure before and after a refit; ``outcome``: `BETTER`, `EQUAL` or `WORSE`."""

    figure: str
    before: float
    after: float
    outcome: str


def changes(before: Figures, after: Figures) -> tuple[Change, ...]:
    """Each figure held against the one before it; areas as far as they are printed.

    Examples
    --------
    >>> [each.outcome for each in changes(Figures(100, 3, 20, 15, 0.9935), Figures(100, 4, 20, 15, 0.99351))]
    ['worse', 'equal', 'equal']
    """
    pairs: tuple[tuple[str, float, float, int], ...] = (
        ("false_positives", before.false_positives, after.false_positives, -1),
        ("found", before.found, after.found, 1),
        ("area_under_curve", round(before.area, AREA_DIGITS), round(after.area, AREA_DIGITS), 1),
    )
    return tuple(
        Change(
            name, one, two, BETTER if sign * two > sign * one else WORSE if sign * two < sign * one else EQUAL
        )
        for name, one, two, sign in pairs
    )


def outcome(found: Sequence[Change]) -> str:
    """`WORSE`: more figures worse than better; `BETTER`: some are and none is worse; `EQUAL`: none changed; else `MIXED`."""
    said = [each.outcome for each in found]
    better, worse = said.count(BETTER), said.count(WORSE)
    if worse > better:
        return WORSE
    if worse:
        return MIXED
    return BETTER if better else EQUAL


def figures(scores: NDArray[np.float64], p_values: NDArray[np.float64], attack: NDArray[np.bool_]) -> Figures:
    """Count; the area under the curve is the chance that an attacker scores above a benign account."""
    from scipy.stats import mannwhitneyu

    listed = np.nan_to_num(p_values, nan=1.0) <= LEVEL
    scores = np.where(np.isnan(scores), -np.inf, scores)
    both = attack.any() and not attack.all()
    area = (
        float(mannwhitneyu(scores[attack], scores[~attack]).statistic / (attack.sum() * (~attack).sum()))
        if both
        else float("nan")
    )
    return Figures(
        int((~attack).sum()), int(listed[~attack].sum()), int(attack.sum()), int(listed[attack].sum()), area
    )


def judged(forest: Forest, labelled: Labelled) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores and p-values of the accounts as `score` would find them in their lakes, float64[n] each."""
    from pipeline.detectors.forest import ForestDetector

    detector = ForestDetector(forest)
    scores, p_values = np.full(len(labelled), np.nan), np.full(len(labelled), np.nan)
    for number, lake in enumerate(labelled.lakes):
        mine = labelled.lake == number
        found = detector.judge(labelled.table.take(mine), detector.reference(LAKE, lake))
        scores[mine], p_values[mine] = found.score, found.p_value
    return scores, p_values


def compare(
    base: Forest,
    labelled: Labelled,
    refit: Refit,
    *,
    folds: int = FOLDS,
    report: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
) -> tuple[Figures, Figures]:
    """Before and after: the base forest, and refits that each had not seen the accounts they judge."""
    fold = folds_of(labelled, folds)
    scores, p_values = np.empty(len(labelled)), np.empty(len(labelled))
    for number in range(folds):
        report("cross-validation", number, folds + 1)
        held = fold == number
        seen = labelled.ranks.take(~held)
        forest = refit(base, seen, labelled.attack[~held], weights(labelled)[~held])
        judgement = judged(forest, labelled)
        scores[held], p_values[held] = judgement[0][held], judgement[1][held]
    report("cross-validation", folds, folds + 1)
    before = figures(*judged(base, labelled), labelled.attack)
    return before, figures(scores, p_values, labelled.attack)


def weights(labelled: Labelled) -> NDArray[np.float64]:
    """Weight of each account, float64[n]: k accounts under one verdict weigh the square root of k in all."""
    sizes: dict[str, int] = {}
    for name in labelled.verdict_id:
        sizes[name] = sizes.get(name, 0) + 1
    return np.array([sizes[name] ** -0.5 for name in labelled.verdict_id], np.float64)
