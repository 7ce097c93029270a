"""Stands between us and a child that must not outlive us: ``watchdog.py FOLDER PIDFILE PROGRAM …``.

Standard input is a pipe whose other end our process holds. When that process ends, in whatever way, the
pipe closes (or our parent changes, should someone have inherited the pipe): the child is asked to end,
then killed, and FOLDER (if not empty) is removed. A file by itself and standard library only, so that it
starts in milliseconds and needs no package on its path.
"""

import contextlib
import ctypes
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys

GRACE_SECONDS = 10.0
LOOK_SECONDS = 0.25
PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """In the child, before it becomes the program: end when the watchdog is killed. Linux only."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> int:
    """Run the program, return its exit code."""
    folder, pid_file, *command = sys.argv[1:]
    parent = os.getppid()
    # Ctrl-C and a closed terminal are for our parent to act upon; a stop comes to the child by its own id.
    for each in (signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    # One thread here, so code between fork and exec is safe.
    before = _die_with_parent if sys.platform == "linux" else None
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=before)  # noqa: PLW1509
    path = pathlib.Path(pid_file)
    fresh = path.with_suffix(".new")
    fresh.write_text(str(child.pid))
    fresh.replace(path)
    while child.poll() is None:
        readable, _, _ = select.select([sys.stdin], [], [], LOOK_SECONDS)
        orphaned = os.getppid() != parent or (readable and not os.read(0, 1))
        if orphaned:
            child.terminate()
            try:
                child.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            if folder:
                with contextlib.suppress(OSError):
                    shutil.rmtree(folder)
    return child.returncode


if __name__ == "__main__":
    sys.exit(main())
