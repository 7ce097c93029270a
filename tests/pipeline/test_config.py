"""Variables that processes begin with."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from pipeline.config import one_thread_per_product

if TYPE_CHECKING:
    import pytest

NAMES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


def heard() -> list[str | None]:
    """What a process that begins now has."""
    code = f"import os; print(*(os.environ.get(name) for name in {NAMES}))"
    said = subprocess.run([sys.executable, "-S", "-c", code], check=True, capture_output=True, text=True)
    return [None if word == "None" else word for word in said.stdout.split()]


def test_processes_that_begin_meanwhile_have_one_thread_per_product(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    with one_thread_per_product():
        assert heard() == ["1", "1", "1"]
    assert heard() == [None, None, None]


def test_what_was_asked_for_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, "3")
    with one_thread_per_product():
        assert heard() == ["3", "3", "3"]
    assert {os.environ[name] for name in NAMES} == {"3"}
