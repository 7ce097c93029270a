"""A filter of system calls for the process that runs queries: a short list of what it may call, and nothing else.

Landlock says nothing about UDP and Unix sockets, file modes, times and locks, memory that outlives a process, other
processes' limits and priorities, watching folders, or starting programs. What DuckDB calls once everything is loaded
is a short list; every other call is refused, those that kernels will have later too.

References
----------
https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

_SET_NO_NEW_PRIVS, _SET_SECCOMP, _FILTER = 38, 22, 2
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_LOAD, _EQUAL, _AT_LEAST, _AND_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_CLONE_THREAD = 0x00010000
# Calls of the x32 interface have this bit set; nobody here uses it.
_X32 = 0x40000000

# What DuckDB, Python and the C library call once everything is loaded: (audit number of the architecture, {call: number}).
_NUMBERS: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (
        0xC000003E,
        {
            "read": 0, "write": 1, "open": 2, "close": 3, "stat": 4, "fstat": 5, "lstat": 6, "poll": 7, "lseek": 8,
            "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14,
            "rt_sigreturn": 15, "ioctl": 16, "pread64": 17, "pwrite64": 18, "readv": 19, "writev": 20, "access": 21,
            "select": 23, "sched_yield": 24, "mremap": 25, "mincore": 27, "madvise": 28, "dup": 32, "dup2": 33,
            "nanosleep": 35, "getpid": 39, "clone": 56, "exit": 60, "uname": 63, "fcntl": 72, "getdents": 78,
            "getcwd": 79, "readlink": 89, "gettimeofday": 96, "getrlimit": 97, "getrusage": 98, "sysinfo": 99,
            "times": 100, "getuid": 102, "getgid": 104, "geteuid": 107, "getegid": 108, "getppid": 110,
            "rt_sigpending": 127, "rt_sigtimedwait": 128, "sigaltstack": 131, "statfs": 137, "fstatfs": 138,
            "sched_get_priority_max": 146, "sched_get_priority_min": 147, "prctl": 157, "arch_prctl": 158,
            "setrlimit": 160, "gettid": 186, "time": 201, "futex": 202, "sched_getaffinity": 204, "getdents64": 217,
            "set_tid_address": 218, "restart_syscall": 219, "fadvise64": 221, "clock_gettime": 228,
            "clock_getres": 229, "clock_nanosleep": 230, "exit_group": 231, "tgkill": 234, "openat": 257,
            "newfstatat": 262, "readlinkat": 267, "faccessat": 269, "pselect6": 270, "ppoll": 271,
            "set_robust_list": 273, "get_robust_list": 274, "dup3": 292, "preadv": 295, "prlimit64": 302,
            "getcpu": 309, "getrandom": 318, "membarrier": 324, "statx": 332, "rseq": 334,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            "getcwd": 17, "dup": 23, "dup3": 24, "fcntl": 25, "ioctl": 29, "statfs": 43, "fstatfs": 44,
            "faccessat": 48, "openat": 56, "close": 57, "getdents64": 61, "lseek": 62, "read": 63, "write": 64,
            "readv": 65, "writev": 66, "pread64": 67, "pwrite64": 68, "preadv": 69, "pselect6": 72, "ppoll": 73,
            "readlinkat": 78, "newfstatat": 79, "fstat": 80, "exit": 93, "exit_group": 94, "set_tid_address": 96,
            "futex": 98, "set_robust_list": 99, "get_robust_list": 100, "nanosleep": 101, "clock_gettime": 113,
            "clock_getres": 114, "clock_nanosleep": 115, "sched_getaffinity": 123, "sched_yield": 124,
            "sched_get_priority_max": 125, "sched_get_priority_min": 126, "restart_syscall": 128, "tgkill": 131,
            "sigaltstack": 132, "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigpending": 136,
            "rt_sigtimedwait": 137, "rt_sigreturn": 139, "times": 153, "uname": 160, "getrlimit": 163,
            "setrlimit": 164, "getrusage": 165, "prctl": 167, "getcpu": 168, "gettimeofday": 169, "getpid": 172,
            "getppid": 173, "getuid": 174, "geteuid": 175, "getgid": 176, "getegid": 177, "gettid": 178,
            "sysinfo": 179, "brk": 214, "munmap": 215, "mremap": 216, "clone": 220, "mmap": 222, "fadvise64": 223,
            "mprotect": 226, "mincore": 232, "madvise": 233, "prlimit64": 261, "getrandom": 278, "membarrier": 283,
            "statx": 291, "rseq": 293,
        },
    ),
}  # fmt: skip
# One number everywhere: calls that came after 2019. What is not allowed of them is not there, so that libraries take
# the older call; all other calls are not permitted.
_NEWER = 424
_OPENAT2, _FACCESSAT2 = 437, 439
# For these an argument decides: which one (the first is 0), and its values.
_CHECKED = {
    # Duplicates of a descriptor and its flags; no locks, no leases, no signals on change.
    "fcntl": (1, (0, 1, 2, 3, 4, 1030)),
    # What Python asks about a file that it opens (a terminal? closed by exec?); no flags of files.
    "ioctl": (1, (0x5401, 0x5450, 0x5451)),
    # Names of threads and of memory; the signal at the warden's death stays.
    "prctl": (0, (15, 16, 0x53564D41)),
    # Limits of oneself.
    "prlimit64": (0, (0,)),
}


def available() -> bool:
    """Whether this machine's calls are known here; whether the kernel takes the filter shows when it is applied."""
    return sys.platform.startswith("linux") and platform.machine() in _NUMBERS


def program(machine: str, pid: int) -> bytes:
    """The filter for a process on an architecture (``x86_64``, ``aarch64``) as the kernel reads it."""
    audit, numbers = _NUMBERS[machine]
    checked = {**_CHECKED, "tgkill": (0, (pid,))}
    plain = [number for name, number in numbers.items() if name not in checked and name != "clone"]
    steps = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUAL, audit, on_true=1),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
        # Without this a call could be made by its other number.
        _step(_AT_LEAST, _X32, on_false=1),
        _step(_RETURN, _ERRNO | errno.ENOSYS),
        # Threads yes, processes no.
        _step(_EQUAL, numbers["clone"], on_false=4),
        _step(_LOAD, _FIRST_ARGUMENT),
        _step(_AND_SET, _CLONE_THREAD, on_false=1),
        _step(_RETURN, _ALLOW),
        _step(_RETURN, _ERRNO | errno.EPERM),
    ]
    for number in sorted([*plain, _OPENAT2, _FACCESSAT2]):
        steps += [_step(_EQUAL, number, on_false=1), _step(_RETURN, _ALLOW)]
    for name, (place, values) in checked.items():
        steps += [
            _step(_EQUAL, numbers[name], on_false=2 * len(values) + 2),
            # The lower half: these arguments are 32 bits wide, and both architectures are little-endian.
            _step(_LOAD, _FIRST_ARGUMENT + 8 * place),
        ]
        for value in values:
            steps += [_step(_EQUAL, value, on_false=1), _step(_RETURN, _ALLOW)]
        steps.append(_step(_RETURN, _ERRNO | errno.EPERM))
    # `clone3` too: the C library falls back to `clone`, whose flags a filter can see.
    steps += [_step(_AT_LEAST, _NEWER, on_false=1), _step(_RETURN, _ERRNO | errno.ENOSYS)]
    steps.append(_step(_RETURN, _ERRNO | errno.EPERM))
    return b"".join(steps)


def _step(code: int, value: int, *, on_true: int = 0, on_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, on_true, on_false, value)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def apply() -> None:
    """From here on the calling thread, and what it starts, may make no other calls. There is no way back.

    Raises
    ------
    OSError
        The kernel refuses filters, or the architecture is not known here.
    """
    if not available():
        raise OSError(errno.ENOSYS, f"no filter of system calls for {platform.machine()}")
    steps = program(platform.machine(), os.getpid())
    library = ctypes.CDLL(None, use_errno=True)
    given = _Program(len(steps) // 8, steps)
    if library.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or (
        library.prctl(_SET_SECCOMP, _FILTER, ctypes.byref(given), 0, 0) != 0
    ):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
