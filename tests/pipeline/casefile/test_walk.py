"""`docs/investigators.md`: its walk, run as it stands there on a lake that is smaller, by what its own steps print."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[3] / "docs" / "investigators.md").read_text()
BLOCKS = re.findall(r"^```(?:bash)?\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
NAMES = re.compile(r"\$\{?([A-Z_]+)")
# What makes a lake, asks for a browser, or waits for somebody.
NOT_HERE = ("simulate", "ingest", "score", "console")
SHELL = "distillwatch sql --lake lake"


def commands() -> list[str]:
    """In the order of the page: whole lines of blocks, and commands between words."""
    text = re.sub(
        r"^```.*?^```", lambda found: found[0].replace("`", ""), PAGE, flags=re.DOTALL | re.MULTILINE
    )
    found = re.findall(r"^(distillwatch [^\n]+)|`(distillwatch [^`]+)`", text, re.MULTILINE)
    every = [(line or inline).split(" # ")[0].strip() for line, inline in found]
    return [
        each
        for each in every
        if each.split()[1] not in NOT_HERE
        and "\u2026" not in each
        and ("--lake lake" in each or "--check" in each)
        and each != SHELL
    ]


def test_no_id_stands_in_it_that_its_own_recipe_may_not_give() -> None:
    assert not re.findall(
        r"\b(?:alert|cluster)-[0-9a-f]{8,}|\bacct_[0-9a-f]{6,}|\b\d+\.\d+\.\d+\.0/\d+", PAGE
    )


def test_every_name_in_it_is_set_before_it_is_used() -> None:
    (setting,) = (block for block in BLOCKS if "ACCOUNT=" in block)
    named = set(re.findall(r"\b([A-Z_]+)=", setting))
    before, _, after = PAGE.partition(setting)
    assert not NAMES.findall(before)
    assert set(NAMES.findall(after)) == named


def test_its_commands_run_in_order_and_answer(lake: Path, tmp_path: Path) -> None:
    (setting,) = (block for block in BLOCKS if "ACCOUNT=" in block)
    asked = commands()
    assert len(asked) >= 10
    programs = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "LOGNAME": "ana"}
    # Each says where it fails; a shell that asks for more is given nothing.
    script = (
        "set -e\n" + setting + "".join(f"echo '@@ {number}'\n{each}\n" for number, each in enumerate(asked))
    )
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    parts = done.stdout.split("@@ ")[1:]
    assert done.returncode == 0, f"{asked[len(parts) - 1]}: {done.stderr}"
    for each, said in zip(asked, parts, strict=True):
        assert "(no rows)" not in said, each
    assert (tmp_path / "case-1.html").is_file()


@pytest.mark.parametrize(
    "name",
    [
        "alert_evidence",
        "why_flagged",
        "cluster_summary",
        "cluster_graph",
        "case_networks",
        "alert_records",
        "verify",
        "case",
    ],
)
def test_its_commands_are_among_those_that_are_run(name: str) -> None:
    assert any(name in each.split() for each in commands())
