"""What a confined process can do, tried from Python and not through DuckDB."""

from __future__ import annotations

import json
import os
import platform
import socket
import struct
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


@pytest.mark.skipif(not seccomp.available(), reason="the calls of this machine are not known")
def test_the_filter_refuses_what_landlock_knows_nothing_of(places: Path) -> None:
    # What somebody could do who runs code of their own in the process: reach the same user's other processes by
    # their limits, priorities and signals, keep memory that outlives the process, watch or tag files, hold up whoever
    # writes them, and let go of the warden.
    body = """
    import ctypes, fcntl, resource
    libc = ctypes.CDLL(None, use_errno=True)
    def call(name, *arguments):
        if getattr(libc, name)(*arguments) == -1:
            raise OSError(ctypes.get_errno(), name)
    inside_file = os.open(inside / "file", os.O_RDONLY)
    parent = names["parent"]
    found["limits of another"] = tried(lambda: resource.prlimit(parent, resource.RLIMIT_CPU))
    found["priority of another"] = tried(lambda: os.setpriority(os.PRIO_PROCESS, parent, 1))
    found["processors of another"] = tried(lambda: os.sched_setaffinity(parent, {0}))
    found["signal to a thread"] = tried(lambda: call("tgkill", parent, parent, 0))
    found["queued signal"] = tried(lambda: call("sigqueue", parent, 0, 0))
    found["shared memory"] = tried(lambda: call("shmget", 0, 4096, 0o600 | 0o1000))
    found["messages"] = tried(lambda: call("msgget", 0, 0o600 | 0o1000))
    found["semaphores"] = tried(lambda: call("semget", 0, 1, 0o600 | 0o1000))
    found["a queue with a name"] = tried(lambda: call("mq_open", b"/hostile", os.O_CREAT | os.O_RDWR, 0o600, None))
    found["a file in memory"] = tried(lambda: os.memfd_create("x"))
    found["watch a folder"] = tried(lambda: call("inotify_init1", 0))
    found["tags of a file"] = tried(lambda: os.listxattr(outside / "file"))
    found["a lock"] = tried(lambda: fcntl.flock(inside_file, fcntl.LOCK_EX))
    found["a lock of a range"] = tried(lambda: fcntl.lockf(inside_file, fcntl.LOCK_SH))
    found["a lease"] = tried(lambda: fcntl.fcntl(inside_file, 1024, fcntl.F_RDLCK))
    found["a signal on changes"] = tried(lambda: fcntl.fcntl(inside_file, 1026, 2))
    found["flags of a file"] = tried(lambda: fcntl.ioctl(inside_file, 0x40086602, bytes(8)))
    found["no signal at the warden's end"] = tried(lambda: call("prctl", 1, 0, 0, 0, 0))
    found["another root"] = tried(lambda: os.chroot("/"))
    found["own limits"] = tried(lambda: resource.prlimit(0, resource.RLIMIT_CPU))
    found["signal to oneself"] = tried(lambda: call("tgkill", os.getpid(), os.getpid(), 0))
    """
    found = confined(places, body, before="seccomp.apply()", parent=os.getpid())
    assert {name for name, result in found.items() if result == "done"} == {"own limits", "signal to oneself"}


def test_the_filter_is_written_for_both_architectures() -> None:
    for machine in ("x86_64", "aarch64"):
        steps = seccomp.program(machine, 7)
        assert len(steps) % 8 == 0
        # The last step refuses: what is not on the list.
        assert steps[-8:] == b"\x06\0\0\0\x01\0\x05\0"
        # Jumps are relative and lead to a step.
        for place in range(0, len(steps), 8):
            _, on_true, on_false, _ = struct.unpack("=HBBI", steps[place : place + 8])
            if on_true or on_false:
                assert place // 8 + 1 + max(on_true, on_false) < len(steps) // 8
    assert seccomp.program("x86_64", 7) != seccomp.program("aarch64", 7)
    assert platform.machine() not in {"x86_64", "aarch64"} or seccomp.available()


def process(pid: int | None) -> Path:
    return Path(f"/proc/{pid}")


def test_a_session_holds_nothing_open_that_it_should_not(sandbox: Any) -> None:
    sandbox.ask("select count(*) from account_scores")
    held = {str(each.readlink()) for each in (process(sandbox.child) / "fd").iterdir()}
    strange = {each for each in held if not each.startswith(("/dev/null", "/proc/", str(sandbox.lake)))}
    # No pipe, which could be opened anew, and no file of anybody else.
    assert len(strange) == 2, "questions and answers"
    assert all(each.startswith("socket:") for each in strange)


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
