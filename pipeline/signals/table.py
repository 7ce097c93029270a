"""All signals of many accounts, column by column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pipeline.profiles.table import Profiles
    from pipeline.signals.base import Context, Signal


@dataclass(frozen=True, slots=True)
class SignalTable:
    """Signals of n accounts.

    ``account_id`` object[n]; ``records`` int64[n]; ``columns[name]`` float64[n], NaN where there is no value.
    """

    account_id: NDArray[np.object_]
    records: NDArray[np.int64]
    columns: Mapping[str, NDArray[np.float64]]

    def __len__(self) -> int:
        return len(self.account_id)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> SignalTable:
        """Some of the accounts: a bool for each, or their places in the order wanted."""
        columns = {name: column[rows] for name, column in self.columns.items()}
        return SignalTable(self.account_id[rows], self.records[rows], columns)

    @classmethod
    def joined(cls, parts: Sequence[SignalTable], names: Sequence[str]) -> SignalTable:
        """Several tables, one after the other; no parts give no rows."""
        return cls(
            np.concatenate([np.empty(0, object), *(part.account_id for part in parts)]),
            np.concatenate([np.empty(0, np.int64), *(part.records for part in parts)]),
            {name: np.concatenate([np.empty(0), *(part.columns[name] for part in parts)]) for name in names},
        )


def reproducible(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Eight decimals, and no more than 24 significant bits.

    The last digits of eigenvalues, products and logarithms are other ones on another processor. What is judged, and named in
    an alert by its digest, has to be the same there. What is left of a difference of equal numbers is 0, without its sign.

    Examples
    --------
    >>> reproducible(np.array([17.302833807095336, 17.30283380709536, 1e-9, np.nan])).tolist()
    [17.302833557128906, 17.302833557128906, 0.0, nan]
    """
    return np.round(values, 8).astype(np.float32).astype(np.float64) + 0.0


def signal_table(
    profiles: Profiles, context: Context, signals: Mapping[str, Signal] | None = None
) -> SignalTable:
    """Every signal of every account.

    Parameters
    ----------
    profiles
        One profile per account (`Profiles.by_account`).
    context
        What they are compared with.
    signals
        Default: the registry.

    Raises
    ------
    UsageError
        An account has more than one profile.
    """
    from pipeline.signals import SIGNALS

    accounts = profiles.account_id
    if len(set(accounts)) != len(accounts):
        msg = f"{len(accounts)} profiles of {len(set(accounts))} accounts; add up the windows first (by_account())"
        raise UsageError(msg)
    chosen = SIGNALS if signals is None else signals
    columns = {name: reproducible(signal.compute(profiles, context)) for name, signal in chosen.items()}
    return SignalTable(accounts, profiles.records.copy(), columns)
