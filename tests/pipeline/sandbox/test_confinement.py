"""What a confined process can do, tried from Python and not through DuckDB."""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from pipeline.sandbox import landlock, seccomp

pytestmark = pytest.mark.usefixtures("needs_landlock")


def confined(tmp_path: Path, body: str, *, before: str, **names: object) -> Any:
    """What `body` leaves in `found`, after `before` confined the process. `tried(f)` gives the error or "done"."""
    code = f"""
import json, os, socket, sys
from pathlib import Path
sys.path.insert(0, {str(Path.cwd())!r})
from pipeline.sandbox import landlock, seccomp
names = {names!r}
inside, outside = Path({str(tmp_path / "inside")!r}), Path({str(tmp_path / "outside")!r})
def tried(action):
    try:
        action()
    except OSError as error:
        return type(error).__name__
    return "done"
found = {{}}
{textwrap.dedent(before)}
{textwrap.dedent(body)}
print(json.dumps(found))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def places(tmp_path: Path) -> Path:
    for name in ("inside", "outside"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "inside" / "link").symlink_to(tmp_path / "outside" / "file")
    return tmp_path


LANDLOCK = "landlock.restrict([inside, '/no/such/place'])"


def test_only_what_is_named_can_be_read_and_nothing_written(places: Path) -> None:
    body = """
    found["read inside"] = tried(lambda: (inside / "file").read_bytes())
    found["list inside"] = tried(lambda: list(inside.iterdir()))
    found["read outside"] = tried(lambda: (outside / "file").read_bytes())
    found["list outside"] = tried(lambda: list(outside.iterdir()))
    found["read by link"] = tried(lambda: (inside / "link").read_bytes())
    found["read by dots"] = tried(lambda: (inside / ".." / "outside" / "file").read_bytes())
    found["write inside"] = tried(lambda: (inside / "file").write_bytes(b"x"))
    found["append inside"] = tried(lambda: (inside / "file").open("ab"))
    found["truncate inside"] = tried(lambda: os.truncate(inside / "file", 0))
    found["create inside"] = tried(lambda: (inside / "new").write_bytes(b"x"))
    found["create outside"] = tried(lambda: (outside / "new").write_bytes(b"x"))
    found["remove"] = tried(lambda: (inside / "file").unlink())
    found["rename"] = tried(lambda: (inside / "file").rename(inside / "other"))
    found["folder"] = tried(lambda: (inside / "folder").mkdir())
    found["link"] = tried(lambda: (inside / "hard").hardlink_to(inside / "file"))
    found["symbolic link"] = tried(lambda: (inside / "soft").symlink_to("file"))
    found["environment of another"] = tried(lambda: Path(f"/proc/{names['parent']}/environ").read_bytes())
    """
    found = confined(places, body, before=LANDLOCK, parent=os.getpid())
    assert {name for name, result in found.items() if result == "done"} == {"read inside", "list inside"}
    assert (places / "inside" / "file").read_text() == "inside"


def test_the_second_narrowing_holds_too(places: Path) -> None:
    body = """
    landlock.restrict([inside, outside])
    found["inside"] = tried(lambda: (inside / "file").read_bytes())
    found["outside"] = tried(lambda: (outside / "file").read_bytes())
    """
    assert confined(places, body, before=LANDLOCK) == {"inside": "done", "outside": "PermissionError"}


@pytest.mark.skipif(landlock.abi() < 4, reason="TCP came with version 4")
def test_landlock_alone_refuses_tcp(places: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        body = """
        found["connect"] = tried(lambda: socket.create_connection(("127.0.0.1", names["port"]), 1))
        found["listen"] = tried(lambda: socket.create_server(("127.0.0.1", 0)))
        """
        found = confined(places, body, before=LANDLOCK, port=server.getsockname()[1])
        assert found == {"connect": "PermissionError", "listen": "PermissionError"}
        # The listener is there: without the confinement one gets through.
        assert confined(places, body, before="", port=server.getsockname()[1])["connect"] == "done"


@pytest.mark.skipif(landlock.abi() < 6, reason="signals came with version 6")
def test_landlock_alone_refuses_signals_to_others(places: Path) -> None:
    body = 'found["signal"] = tried(lambda: os.kill(names["parent"], 0))'
    assert confined(places, body, before=LANDLOCK, parent=os.getpid()) == {"signal": "PermissionError"}


@pytest.mark.skipif(not seccomp.available(), reason="the calls of this machine are not known")
def test_the_filter_of_calls_refuses_sockets_programs_and_processes(places: Path) -> None:
    body = """
    found["tcp"] = tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    found["udp"] = tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    found["unix"] = tried(lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    found["pair"] = tried(socket.socketpair)
    found["raw"] = tried(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
    found["fork"] = tried(os.fork)
    found["program"] = tried(lambda: os.execv(sys.executable, [sys.executable, "-c", "pass"]))
    found["mode"] = tried(lambda: os.chmod(inside / "file", 0o600))
    found["times"] = tried(lambda: os.utime(inside / "file"))
    found["owner"] = tried(lambda: os.chown(inside / "file", os.getuid(), os.getgid()))
    found["signal"] = tried(lambda: os.kill(names["parent"], 0))
    found["namespace"] = tried(lambda: os.unshare(0x40000000)) if hasattr(os, "unshare") else "OSError"
    found["read"] = tried(lambda: (inside / "file").read_bytes())
    import threading
    threads = [threading.Thread(target=lambda: None) for _ in range(4)]
    for each in threads: each.start()
    for each in threads: each.join()
    found["threads"] = "done"
    """
    found = confined(places, body, before="seccomp.apply()", parent=os.getpid())
    assert {name for name, result in found.items() if result == "done"} == {"read", "threads"}


def test_the_filter_is_written_for_both_architectures() -> None:
    for machine in ("x86_64", "aarch64"):
        steps = seccomp.program(machine)
        assert len(steps) % 8 == 0
        # Jumps are relative and 8 bits wide, and the last step lets pass.
        assert steps[-8:] == b"\x06\0\0\0\0\0\xff\x7f"
    assert seccomp.program("x86_64") != seccomp.program("aarch64")
    assert platform.machine() not in {"x86_64", "aarch64"} or seccomp.available()


def process(pid: int | None) -> Path:
    return Path(f"/proc/{pid}")


def test_a_session_holds_nothing_open_that_it_should_not(sandbox: Any) -> None:
    sandbox.ask("select count(*) from account_scores")
    held = {str(each.readlink()) for each in (process(sandbox.child) / "fd").iterdir()}
    strange = {
        each
        for each in held
        if not each.startswith(("pipe:", "anon_inode:", "/dev/null", "/proc/", str(sandbox.lake)))
    }
    assert strange == set(), "no socket, no file of anybody else"


def test_a_session_has_no_environment_and_another_process_group(sandbox: Any, secret: str) -> None:
    sandbox.warm()
    environment = (process(sandbox.child) / "environ").read_bytes()
    assert secret.encode() not in environment
    names = {each.split(b"=")[0].decode() for each in environment.split(b"\0") if each}
    assert names <= {"OPENBLAS_NUM_THREADS", "LC_ALL", "MALLOC_ARENA_MAX"}
    assert os.getpgid(sandbox.child) != os.getpgid(0)
    status = (process(sandbox.child) / "status").read_text()
    assert "NoNewPrivs:\t1" in status
    if seccomp.available():
        assert "Seccomp:\t2" in status


def test_all_of_its_threads_are_confined(sandbox: Any) -> None:
    sandbox.ask("select count(*) from range(3000000) a(x) where x % 7 = 3")
    for thread in (process(sandbox.child) / "task").iterdir():
        status = (thread / "status").read_text()
        assert "NoNewPrivs:\t1" in status
        if seccomp.available():
            assert "Seccomp:\t2" in status, thread


def test_a_session_is_the_first_to_go_when_memory_is_out(sandbox: Any) -> None:
    sandbox.warm()
    assert (process(sandbox.child) / "oom_score_adj").read_text().strip() == "1000"


def test_it_opens_from_a_thread_that_ends(opened: Any, world: Any) -> None:
    # The signal on a parent's death is about the thread that forked; ours must not be.
    from pipeline.sandbox import AuditLog, Sandbox

    made: list[Any] = []
    log = AuditLog(world.folder.parent / "thread-audit.jsonl")
    thread = threading.Thread(target=lambda: made.append(Sandbox(world.lake, who="t", audit=log)))
    thread.start()
    thread.join()
    with made[0] as session:
        assert session.ask("select 1 as x").rows() == [{"x": 1}]
