import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def programs(folder, scripts):
    """A PATH of its own: a shell's minimum and the given scripts."""
    folder.mkdir()
    for name, text in scripts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return str(folder)


def find_python(path, **variables):
    return subprocess.run(
        ["/bin/sh", ROOT / "tools" / "find-python"],
        env={"PATH": path, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_bare_make_lists_every_target_by_section():
    listed = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    targets = set(re.findall(r"^\.PHONY: (\S+)$", MAKEFILE, re.MULTILINE)) - {"run-ready", "test-ready"}
    assert len(targets) > 15
    assert {line.split()[0] for line in listed.splitlines() if line.startswith("  ")} == targets
    sections = re.findall(r"^##@ (.+)$", MAKEFILE, re.MULTILINE)
    assert [line for line in listed.splitlines() if line and not line.startswith(" ")] == sections


def test_every_script_that_a_target_runs_exists():
    scripts = re.findall(r"\$\(PY\) (tests/\S+\.py)", MAKEFILE)
    assert scripts
    assert [each for each in scripts if not (ROOT / each).is_file()] == []


def test_test_checks_in_the_order_of_cost():
    recipe = MAKEFILE.split("\ntest: ")[1].split("\n\n")[0]
    steps = ["ruff check", "ruff format --check", "mypy", "lint-imports", "pytest"]
    assert [recipe.index(step) for step in steps] == sorted(recipe.index(step) for step in steps)


def test_ci_is_what_a_person_runs():
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "make test"
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


@pytest.mark.parametrize("name", ["python3.13", "python3.12", "python3.11", "python3"])
def test_a_python_is_found_under_each_of_its_names(tmp_path, name):
    path = programs(tmp_path / "bin", {name: f"#!/bin/sh\necho /the/{name}\n"})
    assert find_python(path).stdout == f"/the/{name}\n"


def test_a_python_that_is_too_old_or_a_shim_of_nothing_is_passed_over(tmp_path):
    scripts = {
        "python3.13": "#!/bin/sh\nexit 127\n",
        "python3.12": "#!/bin/sh\necho\n",
        "python3": "#!/bin/sh\necho /good\n",
    }
    assert find_python(programs(tmp_path / "bin", scripts)).stdout == "/good\n"


def test_without_a_python_the_message_says_what_to_do(tmp_path):
    done = find_python(programs(tmp_path / "bin", {}))
    assert done.returncode == 1
    assert "Python 3.11 or newer" in done.stderr
    assert "make PYTHON=" in done.stderr


def test_a_python_that_was_named_but_does_not_do_is_an_error_not_a_surprise(tmp_path):
    path = programs(tmp_path / "bin", {"python3": "#!/bin/sh\necho /good\n"})
    done = find_python(path, PYTHON="/no/such/python")
    assert done.returncode == 1
    assert "PYTHON=/no/such/python" in done.stderr
