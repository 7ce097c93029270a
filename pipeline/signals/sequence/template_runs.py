"""How much templates keep to themselves in the sequence.

Examples
--------
>>> from pipeline.signals.sequence.example import sequence
>>> round(compute(sequence(range(40), template=[0] * 20 + [1] * 20)), 2), round(compute(sequence(range(40), template=[0, 1] * 20)), 2)
(0.95, -0.95)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.signals.sequence.base import NAN, UNKNOWN, SequenceSignal, same_pairs

if TYPE_CHECKING:
    from pipeline.signals.sequence.base import AccountSequence


def compute(records: AccountSequence) -> float:
    """See the formula below."""
    template = records.code("template")
    both = (template[1:] != UNKNOWN) & (template[:-1] != UNKNOWN)
    expected = same_pairs(template)
    if both.sum() < 20 or not expected < 1.0 - 1e-9:
        return NAN
    return (float((template[1:] == template[:-1])[both].mean()) - expected) / (1.0 - expected)


SIGNAL = SequenceSignal(
    name="template_runs",
    units="share",
    formula="(consecutive records with one template - pairs with one template) / (1 - the latter)",
    source="serial correlation of a nominal series (kappa, Cohen 1960)",
    sees="one job after the other",
    misses="accounts with one template have no value",
    says="its templates follow themselves {size:.2f} {more} than by chance",
    compute=compute,
)
