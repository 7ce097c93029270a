"""Two threads for work on blocks of pairs: numpy lets go of the interpreter, and results keep their order."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Item = TypeVar("Item")
Result = TypeVar("Result")

THREADS = 2


def in_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """``work`` of each item, in the order of the items; the first error is raised."""
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(work, items))
