"""Tasks in processes: the same results in the same order."""

from __future__ import annotations

import math

import pytest

from pipeline.evaluate.workers import in_processes


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order_whatever_the_number_of_processes(workers: int) -> None:
    said: list[tuple[int, int | None]] = []
    found = in_processes(math.factorial, [5, 3, 4], workers, lambda done, task: said.append((done, task)))
    assert found == [120, 6, 24]
    assert said == [(0, 5), (1, 3), (2, 4), (3, None)]
    with pytest.raises(ValueError, match="negative"):
        in_processes(math.factorial, [1, -1], workers)
