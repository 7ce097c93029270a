"""What may import what, beyond what import-linter can say; and what a start must not cost."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = ["aiokafka", "cupy", "duckdb", "faust", "jgo", "kafka", "numpy", "pyarrow", "rich", "scipy"]
# Pure data and pure functions: nothing here opens a file, asks a clock or knows an array library.
KERNELS_MAY_IMPORT = {
    "__future__",
    "collections",
    "collections.abc",
    "dataclasses",
    "enum",
    "functools",
    "itertools",
    "math",
    "typing",
}


def loaded_after(code, names):
    """Which of these modules a fresh interpreter has loaded after the code."""
    check = f"{code}\nimport sys\nprint(*[name for name in {names!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()


@pytest.mark.parametrize(
    "module",
    [
        "pipeline",
        "pipeline.errors",
        "pipeline.config",
        "pipeline.kafka.topics",
        "pipeline.kafka.broker",
        "pipeline.cli.main",
    ],
)
def test_a_start_loads_nothing_heavy(module):
    assert loaded_after(f"import {module}", HEAVY) == []


def test_listing_the_commands_loads_none_of_them():
    code = "import contextlib, io\nfrom pipeline.cli.main import run\nwith contextlib.redirect_stdout(io.StringIO()): run(['--help'])"
    assert loaded_after(code, [*HEAVY, "pipeline.cli.topics", "streams"]) == []


@pytest.mark.parametrize("name", ["pipeline.engine", "pipeline.profiles", "pipeline.records.schema"])
def test_the_core_needs_no_broker_no_database_and_no_gpu(name):
    assert (
        loaded_after(f"import {name}", ["aiokafka", "click", "cupy", "duckdb", "faust", "kafka", "rich"])
        == []
    )


def runtime_imports(path):
    """(line, module) of every import that is executed, those for type checkers left out."""
    found = []

    def walk(body):
        for node in body:
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                walk(node.orelse)
            elif isinstance(node, ast.Import):
                found.extend((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                found.append((node.lineno, "." * node.level + (node.module or "")))
            else:
                walk([child for child in ast.iter_child_nodes(node) if isinstance(child, ast.AST)])

    walk(ast.parse(path.read_text(encoding="utf-8")).body)
    return found


def kernel_files():
    return sorted((ROOT / "pipeline" / "kernels").rglob("*.py"))


def test_kernels_import_nothing_but_pure_things():
    assert kernel_files()
    foreign = [
        f"{path.relative_to(ROOT)}:{line}: {module}"
        for path in kernel_files()
        for line, module in runtime_imports(path)
        if module not in KERNELS_MAY_IMPORT and not module.startswith(("pipeline.kernels", "pipeline.errors"))
    ]
    assert foreign == []


def test_only_the_clock_asks_what_time_it_is():
    asking = {"time", "monotonic", "perf_counter", "time_ns", "monotonic_ns"}
    found = []
    for path in sorted((ROOT / "pipeline").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = ast.unparse(node.func.value)
                if (owner == "time" and node.func.attr in asking) or (
                    owner.endswith("datetime") and node.func.attr in {"now", "utcnow"}
                ):
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert [each for each in found if not each.startswith("pipeline/clock.py")] == []


@pytest.mark.parametrize("folder", ["sql", "infra"])
def test_sql_and_infra_hold_no_python(folder):
    assert list((ROOT / folder).rglob("*.py")) == []


@pytest.mark.parametrize(
    ("contract", "module", "line"),
    [
        ("pipeline never imports streams", "pipeline/errors.py", "import streams"),
        ("cupy is imported in pipeline.backend", "pipeline/spaces.py", "import cupy"),
        ("kernels import no array library", "pipeline/kernels/segments.py", "import numpy"),
        ("never reach a broker", "pipeline/engine.py", "import kafka"),
        ("open nothing and ask no clock", "pipeline/engine.py", "import socket"),
        ("only the command line imports", "pipeline/records/schema.py", "import pipeline.cli.main"),
    ],
)
def test_a_planted_violation_breaks_its_contract(tmp_path, contract, module, line):
    """Every contract holds today, so only planting shows that it would notice."""
    for name in ("pipeline", "streams"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    target = tmp_path / module
    target.write_text(
        target.read_text(encoding="utf-8") + f"\n\ndef planted() -> None:\n    {line}\n", encoding="utf-8"
    )
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program, "--no-cache"],
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "400"},  # or the names of the contracts are folded
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    broken = [each for each in done.stdout.splitlines() if " BROKEN" in each]
    assert any(contract in each for each in broken), done.stdout
