"""Short forms of the shows; the full ones are `make kill` and `make bad-input`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SHOWS = Path(__file__).parent


def show(name: str, kafka: Any, *arguments: str) -> str:
    command = [sys.executable, str(SHOWS / name), "--bootstrap-servers", kafka.bootstrap_servers, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=SHOWS.parents[1])
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.timeout(300)
def test_every_kind_of_bad_input_is_a_dead_letter_and_every_good_record_lands(kafka: Any) -> None:
    out = show("bad_input.py", kafka, "--good", "300")
    assert out.count(" ok") >= 15
    assert "319 of 319 good records landed" in out


@pytest.mark.timeout(400)
def test_kill_9_and_a_zombie_lose_nothing_and_double_nothing(kafka: Any) -> None:
    out = show("kill.py", kafka, "--records", "12000", "--kills", "2", "--pause", "0.3")
    assert "0 lost, 0 twice; coverage proof holds" in out
    assert "zombie" in out
