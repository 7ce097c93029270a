"""What a baseline is: records of accounts in, one number per account out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.evaluate.accounts import Accounts


class Baseline(Protocol):
    """Deterministic; every account is scored, NaN where nothing can be said.

    ``pool`` int8[m, d] are records of ordinary use: a sample of the lake, in which some attackers hide, or, in
    LabRAI's protocol, records known to be benign.
    """

    @property
    def name(self) -> str:
        """In the report."""
        ...

    def score(self, accounts: Accounts, pool: NDArray[np.int8]) -> NDArray[np.float64]:
        """float64[n], higher means more suspicious."""
        ...
