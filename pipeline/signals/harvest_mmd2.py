"""How far the account's content lies from the nearest harvested corpus.

Examples
--------
>>> from pipeline.signals.base import Context, first
>>> from pipeline.signals.example import example
>>> first(compute(example(records=1), Context()))  # one record has no distance
nan
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.signals.base import Signal
from pipeline.signals.content import nearest_mmd2

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.profiles.table import Profiles
    from pipeline.signals.base import Context


def compute(profiles: Profiles, context: Context) -> NDArray[np.float64]:  # noqa: ARG001 - one shape for all
    """See the formula below."""
    return nearest_mmd2(profiles, "harvests")


SIGNAL = Signal(
    name="harvest_mmd2",
    units="squared kernel distance",
    formula="smallest over the shipped corpora of the unbiased |mean features - theirs|^2, from kernel_mean",
    source="Gretton et al. (JMLR 2012), features of Rahimi & Recht (NIPS 2007); measured in docs/classes.md",
    sees="content close to one known harvest",
    misses="content is not guilt; a mixture of corpora lies far from each; what was never in the references",
    says="its content lies {value:.3f} (squared kernel distance) from the nearest harvested corpus",
    compute=compute,
)
