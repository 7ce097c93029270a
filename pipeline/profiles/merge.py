"""Adding and subtracting profiles: integer sums by key, unions for the sketches.

Rows are never looped over in Python. A sum by group is one product with a sparse one-hot matrix in int64, which
needs neither a sort nor a gather of the rows.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from scipy import sparse

from pipeline.errors import OutOfBounds, UsageError
from pipeline.kernels.distinct import bottom_k
from pipeline.profiles.keys import group_rows, string_array
from pipeline.profiles.schema import COUNTERS, DISTINCT_FIELDS, RECORDS, SKETCH

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from pipeline.parameters import Parameters
    from pipeline.profiles.keys import Grouping
    from pipeline.profiles.table import Profiles

GROUP_FIELDS = ("light", "cells", "embedding_sum", "moment", "kernel_mean")
"""Fields that add up and can be taken off again."""


def merge(parts: Sequence[Profiles]) -> Profiles:
    """Sum of profiles; keys that occur in several add up.

    Raises
    ------
    UsageError
        There is nothing to merge, not even an empty set of profiles to say which parameters are meant.
    SpaceMismatch
        The parts come from different spaces or parameters.
    OutOfBounds
        A sum could leave int64.
    """
    if not parts:
        msg = "there is nothing to merge; start from Profiles.empty(parameters)"
        raise UsageError(msg)
    for part in parts[1:]:
        parts[0].parameters.require_same(part.parameters)
    filled = [part for part in parts if len(part)]
    if len(filled) <= 1:
        return filled[0] if filled else parts[0]
    ordered = sorted(filled, key=_first_key)
    columns = {
        name: np.concatenate([getattr(part, name) for part in ordered])
        for name in ("account_id", "window_start", *GROUP_FIELDS, "hashes")
    }
    heavy_from = max(part.heavy_from for part in filled)
    merged = filled[0].__class__(parameters=parts[0].parameters, heavy_from=heavy_from, **columns)
    if all(_last_key(one) < _first_key(two) for one, two in itertools.pairwise(ordered)):
        return merged
    return regroup(merged, group_rows(string_array(merged.account_id), merged.window_start))


def regroup(rows: Profiles, grouping: Grouping) -> Profiles:
    """Sum of the rows of each group.

    ``rows`` may have equal keys and any order here, and only here.
    """
    rows.require_whole()
    guard(rows.light, grouping.order, grouping.starts, grouping.account_id, rows.parameters)
    n, groups = len(grouping.order), len(grouping.starts)
    indptr = np.append(grouping.starts, n)
    one_hot = sparse.csr_matrix((np.ones(n, dtype=np.int64), grouping.order, indptr), shape=(groups, n))
    sums: dict[str, Any] = {name: one_hot @ getattr(rows, name) for name in GROUP_FIELDS}
    return rows.__class__(
        parameters=rows.parameters,
        account_id=grouping.account_id,
        window_start=grouping.window_start,
        hashes=_union(rows.hashes, grouping),
        **sums,
    )


def guard(
    light: npt.NDArray[np.int64],
    order: npt.NDArray[np.int64],
    starts: npt.NDArray[np.int64],
    account_id: npt.NDArray[np.object_],
    parameters: Parameters,
) -> None:
    """Refuse sums that could leave int64.

    All fields but the token sums are bounded per record, so the count of records bounds them; token sums are
    bounded by their largest value times the rows of the largest group, and looked at exactly if that is not enough.

    Parameters
    ----------
    light
        int64[n, 11], rows to be added up.
    order, starts, account_id
        The groups, as in `Grouping`.

    Raises
    ------
    OutOfBounds
        With the account and the sum.
    """
    n = len(order)
    largest_group = int(np.diff(starts, append=n).max(initial=0))
    largest_value = max(int(light.max(initial=0)), -int(light.min(initial=0)))
    largest_count = int(light[:, RECORDS].max(initial=0))
    if largest_group * largest_value < 2**63 and largest_group * largest_count <= parameters.max_records:
        return
    for group, low in enumerate(starts.tolist()):
        high = int(starts[group + 1]) if group + 1 < len(starts) else n
        exact = [sum(column) for column in zip(*light[order[low:high]].tolist(), strict=True)]
        if max(exact) >= 2**63 or exact[RECORDS] > parameters.max_records:
            msg = (
                f"the profile of account {account_id[group]!r} would add up {exact[RECORDS]} records to "
                f"{max(exact)}; sums are kept in 64 bits: score a shorter time range"
            )
            raise OutOfBounds(msg)


def _union(hashes: npt.NDArray[np.uint64], grouping: Grouping) -> npt.NDArray[np.uint64]:
    """Sketches of groups, uint64[g, 3, 64]; a group of one row keeps its own."""
    n, groups = len(grouping.order), len(grouping.starts)
    sizes = np.diff(grouping.starts, append=n)
    out = hashes[grouping.order[grouping.starts]]
    several = np.flatnonzero(sizes > 1)
    if len(several) == 0:
        return out
    number = np.full(groups, -1, dtype=np.int64)
    number[several] = np.arange(len(several))
    row_number = number[np.repeat(np.arange(groups), sizes)]
    rows = grouping.order[row_number >= 0]
    group = np.repeat(row_number[row_number >= 0], SKETCH)
    for field in range(len(DISTINCT_FIELDS)):
        out[several, field] = bottom_k(group, hashes[rows, field].ravel(), len(several), xp=np)
    return out


def subtract(whole: Profiles, part: Profiles) -> Profiles:
    """Take ``part`` off ``whole``: group fields only, sketches cannot forget and stay as they are.

    A row from which everything is taken is gone.

    Raises
    ------
    UsageError
        ``part`` is not contained in ``whole``: a count would become negative, or a row without records would
        keep other sums.
    SpaceMismatch
        They come from different spaces or parameters.
    """
    whole.parameters.require_same(part.parameters)
    whole.require_whole()
    part.require_whole()
    if len(part) == 0:
        return whole
    both = pa.chunked_array([string_array(whole.account_id), string_array(part.account_id)])
    grouping = group_rows(both, np.concatenate([whole.window_start, part.window_start]))
    group = grouping.group
    if len(grouping.starts) > len(whole):
        known = np.zeros(len(grouping.starts), dtype=bool)
        known[group[: len(whole)]] = True
        stranger = int(np.flatnonzero(~known[group[len(whole) :]])[0])
        msg = (
            f"account {part.account_id[stranger]!r} at window {part.window_start[stranger]} is not in the profiles "
            "it should be taken off; only what was added before can be subtracted"
        )
        raise UsageError(msg)
    # Keys are unique and sorted on both sides, so the group number is the row of `whole`.
    rows = group[len(whole) :]
    left = {name: getattr(whole, name).copy() for name in GROUP_FIELDS}
    for name, values in left.items():
        values[rows] -= getattr(part, name)
    # Token sums may be negative by themselves: a log may hold -1 for "not counted".
    negative = (left["light"][:, COUNTERS] < 0).any(axis=1) | (left["cells"] < 0).any(axis=1)
    gone = left["light"][:, RECORDS] == 0
    residue = np.zeros(len(whole), dtype=bool)
    for values in left.values():
        residue |= gone & values.any(axis=1)
    bad = np.flatnonzero(negative | residue)
    if len(bad):
        row = int(bad[0])
        part_records = dict(zip(rows.tolist(), part.records.tolist(), strict=True))
        msg = (
            f"{part_records.get(row, 0)} records cannot be taken off the {whole.light[row, RECORDS]} of account "
            f"{whole.account_id[row]!r} at window {whole.window_start[row]}: they are not among them; "
            "only what was added before can be subtracted"
        )
        raise UsageError(msg)
    result = whole.__class__(
        parameters=whole.parameters,
        account_id=whole.account_id,
        window_start=whole.window_start,
        hashes=whole.hashes,
        **left,
    )
    return result.take(~gone) if gone.any() else result


def _first_key(part: Profiles) -> tuple[bytes, int]:
    return str(part.account_id[0]).encode(), int(part.window_start[0])


def _last_key(part: Profiles) -> tuple[bytes, int]:
    return str(part.account_id[-1]).encode(), int(part.window_start[-1])
