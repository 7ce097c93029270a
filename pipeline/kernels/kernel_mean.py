"""Random Fourier features in integers: what the kernel mean of a set of records adds up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

PHASE_BITS = 12
PHASES = 1 << PHASE_BITS
"""Steps of a full turn."""

SCALE_BITS = 6
"""W is 64 times finer than a phase step, so that its own rounding does not matter."""


def phases(product: Any, offset: Any, *, xp: ModuleType) -> Any:
    """``((product + 32) // 64 + b) & 4095``, with floor division.

    Parameters
    ----------
    product
        float32[n, D] holding the integers ``q @ W``.
    offset
        int32[D], ``64 * b + 32``: adding it before the shift is the same as adding b after it.
    xp
        The array module.

    Returns
    -------
    array
        int32[n, D] in [0, 4096).
    """
    turn = product.astype(xp.int32)
    turn += offset
    turn >>= SCALE_BITS
    turn &= PHASES - 1
    return turn


def cosines(product: Any, offset: Any, table: Any, *, xp: ModuleType) -> Any:
    """The cosine table at each phase, float32[n, D] holding integers.

    Parameters
    ----------
    product, offset
        As for `phases`.
    table
        float32[4096].
    xp
        The array module.
    """
    # Phases are masked, so no index is out of range; "wrap" skips the check that "raise" makes first.
    return xp.take(table, phases(product, offset, xp=xp), mode="wrap")
