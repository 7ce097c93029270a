"""Which worlds a run of the benchmark has: every seed with every base rate, with and without metadata, or leaving out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.errors import UsageError
from pipeline.evaluate.worlds import leave_one_kind_out, leave_one_source_out
from pipeline.simulate.kinds import BENIGN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.evaluate.worlds import EvaluationSettings

LEAVE_OUT = ("none", "source", "kind")


def plan(
    base: EvaluationSettings,
    *,
    seeds: Sequence[int],
    shares: Sequence[float],
    metadata: Sequence[bool] = (True,),
    leave_out: str = "none",
) -> list[tuple[str, EvaluationSettings]]:
    """Groups and settings of the worlds, in order.

    With ``leave_out`` the base rate is the highest of ``shares``, and there is a group for each source that is harvested
    (or each kind that attacks) alone. The shipped detector was fitted on all of them: a figure for what is really left
    out needs one fitted on `worlds.Split.fit`.

    Raises
    ------
    UsageError
        Something is asked for that gives no world.
    """
    if not seeds or not shares or not metadata:
        msg = "no worlds: give at least one seed and one base rate"
        raise UsageError(msg)
    found: list[tuple[str, EvaluationSettings]] = []
    for bare in metadata:
        suffix = "" if bare else ", no metadata"
        if leave_out == "none":
            groups = [(f"{share:.1%} attack{suffix}", replace(base, attack_share=share)) for share in shares]
        else:
            most = replace(base, attack_share=max(shares))
            splits = leave_one_source_out(most) if leave_out == "source" else leave_one_kind_out(most)
            groups = [(f"{split.name}{suffix}", split.judge) for split in splits if split.name not in BENIGN]
        # Every world has a seed of its own: the same accounts at another base rate would not be new evidence.
        found += [
            (label, replace(settings, seed=1000 * seed + i, metadata=bare))
            for i, (label, settings) in enumerate(groups)
            for seed in seeds
        ]
    return found
