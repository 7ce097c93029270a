"""The SQL under ``sql/`` on both majors of DuckDB: ``make test-sql``.

    .venv/bin/python tools/test_sql.py [--other-only] [--quick] [pytest's arguments]

The locked version is that of `.venv`; the other one lies beside it in `.tools/` and comes first on the path of its run.
The simulated lake is made once, for both.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import bootstrap  # noqa: E402 -- found by the path above

# The oldest version that pyproject.toml allows, and the first of the next major.
OTHER = {"1": "2.0.0", "2": "1.5.5"}
# What depends on the engine and needs no simulated lake.
QUICK = ("test_macros.py", "test_cases.py", "test_pruning.py")
SUMMARY = re.compile(r"(\d+) (passed|failed|skipped|error)")


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the tests of sql/ on both majors of DuckDB.")
    parser.add_argument("--other-only", action="store_true", help="only on the version that is not locked")
    parser.add_argument("--quick", action="store_true", help=f"only {', '.join(QUICK)}")
    options, rest = parser.parse_known_args()
    locked = version({})
    other = OTHER[locked.split(".")[0]]
    print(inventory())
    runs = [] if options.other_only else [(locked, {})]
    runs.append((other, {"PYTHONPATH": str(installed(other))}))
    targets = [f"tests/sql/{name}" for name in QUICK] if options.quick else ["tests/sql"]
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for name, path in runs:
            variables = {**path, "DISTILLWATCH_PLANTED": folder}
            if version(variables) != name:
                print(
                    f"DuckDB {name} is not what Python imports; remove {ROOT / '.tools'}/duckdb-* and try again"
                )
                return 1
            print(f"DuckDB {name}: {' '.join(targets)}", flush=True)
            started = time.monotonic()
            code, told = run(variables, [*targets, *rest])
            failed |= code != 0
            print(f"DuckDB {name}: {told}, {time.monotonic() - started:.0f} s")
    return int(failed)


def inventory() -> str:
    """Files, tests of macros and golden cases, counted."""
    counts = {
        layer: len(list((ROOT / "sql" / layer).glob("*.sql"))) for layer in ("macros", "views", "playbooks")
    }
    macros = sum(
        path.read_text().partition("-- Tests")[2].count(";\n") for path in (ROOT / "sql/macros").glob("*.sql")
    )
    cases = len(list((ROOT / "tests/sql/cases").glob("*/test_*/expect.jsonl")))
    files = ", ".join(f"{count} {layer}" for layer, count in counts.items())
    return f"sql/: {sum(counts.values())} files ({files}), {macros} tests of macros, {cases} golden cases"


def version(variables: dict[str, str]) -> str:
    command = [sys.executable, "-c", "import duckdb; print(duckdb.__version__)"]
    return subprocess.run(
        command, env={**os.environ, **variables}, check=True, capture_output=True, text=True
    ).stdout.strip()


def installed(version: str) -> Path:
    """Folder with this version of DuckDB; fetched once."""
    folder = bootstrap.TOOLS / f"duckdb-{version}"
    if not (folder / "duckdb").is_dir():
        import shutil

        uv = shutil.which("uv") or str(bootstrap.private_uv())
        command = ["pip", "install", "--quiet", "--python", sys.executable, "--no-deps"]
        if bootstrap.run_uv(uv, [*command, "--target", str(folder), f"duckdb=={version}"]):
            print(
                f"DuckDB {version} could not be installed into {folder}; the first run needs the package registry"
            )
            raise SystemExit(1)
    return folder


def run(variables: dict[str, str], arguments: list[str]) -> tuple[int, str]:
    """pytest's exit code, and what it counted."""
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **variables}, check=False, capture_output=True, text=True
    )
    if done.returncode:
        print(done.stdout[-20_000:], done.stderr[-5_000:])
    last = done.stdout.strip().splitlines()[-1:] or ["nothing ran"]
    return done.returncode, ", ".join(" ".join(found) for found in SUMMARY.findall(last[0])) or last[0]


if __name__ == "__main__":
    raise SystemExit(main())
