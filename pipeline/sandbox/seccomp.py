"""A filter of system calls for the process that runs queries: no sockets, no programs, no other processes.

Landlock says nothing about UDP and Unix sockets, about file modes and times, about starting programs or looking
into other processes. This filter refuses the calls themselves. DuckDB needs none of them.

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

# (audit number of the architecture, {call: number})
_NUMBERS: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (
        0xC000003E,
        {
            "socket": 41, "connect": 42, "accept": 43, "sendto": 44, "sendmsg": 46, "bind": 49, "listen": 50,
            "socketpair": 53, "clone": 56, "fork": 57, "vfork": 58, "execve": 59, "kill": 62, "truncate": 76,
            "chmod": 90, "fchmod": 91, "chown": 92, "fchown": 93, "lchown": 94, "ptrace": 101, "mknod": 133,
            "pivot_root": 155, "chroot": 161, "mount": 165, "umount2": 166, "setxattr": 188, "lsetxattr": 189,
            "fsetxattr": 190, "removexattr": 197, "lremovexattr": 198, "fremovexattr": 199, "tkill": 200,
            "utime": 132, "utimes": 235, "add_key": 248, "request_key": 249, "keyctl": 250, "fchownat": 260,
            "futimesat": 261, "fchmodat": 268, "unshare": 272, "utimensat": 280, "accept4": 288,
            "perf_event_open": 298, "open_by_handle_at": 304, "sendmmsg": 307, "setns": 308,
            "process_vm_readv": 310, "process_vm_writev": 311, "bpf": 321, "execveat": 322,
            "userfaultfd": 323,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            "setxattr": 5, "lsetxattr": 6, "fsetxattr": 7, "removexattr": 14, "lremovexattr": 15,
            "fremovexattr": 16, "umount2": 39, "mount": 40, "pivot_root": 41, "truncate": 45, "chroot": 51,
            "fchmod": 52, "fchmodat": 53, "fchownat": 54, "fchown": 55, "utimensat": 88, "unshare": 97,
            "ptrace": 117, "kill": 129, "tkill": 130, "socket": 198, "socketpair": 199, "bind": 200,
            "listen": 201, "accept": 202, "connect": 203, "sendto": 206, "sendmsg": 211, "add_key": 217,
            "request_key": 218, "keyctl": 219, "clone": 220, "execve": 221, "perf_event_open": 241,
            "accept4": 242, "open_by_handle_at": 265, "setns": 268, "sendmmsg": 269, "process_vm_readv": 270,
            "process_vm_writev": 271, "bpf": 280, "execveat": 281, "userfaultfd": 282,
        },
    ),
}  # fmt: skip
# One number everywhere: calls that came after 2019.
_NEWER = {
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "pidfd_send_signal": 424, "pidfd_open": 434, "clone3": 435, "pidfd_getfd": 438,
    "fchmodat2": 452, "setxattrat": 463, "removexattrat": 466,
}  # fmt: skip


def available() -> bool:
    """Whether this machine's calls are known here; whether the kernel takes the filter shows when it is applied."""
    return sys.platform.startswith("linux") and platform.machine() in _NUMBERS


def program(machine: str) -> bytes:
    """The filter for an architecture (``x86_64``, ``aarch64``) as the kernel reads it."""
    audit, numbers = _NUMBERS[machine]
    refused = {**numbers, **_NEWER}
    clone, clone3 = refused.pop("clone"), refused.pop("clone3")
    steps = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUAL, audit, on_true=1),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
        # Without this a call could be made by its other number.
        _step(_AT_LEAST, _X32, on_false=1),
        _step(_RETURN, _ERRNO | errno.ENOSYS),
        # The C library falls back to `clone`, whose flags a filter can see.
        _step(_EQUAL, clone3, on_false=1),
        _step(_RETURN, _ERRNO | errno.ENOSYS),
        # Threads yes, processes no.
        _step(_EQUAL, clone, on_false=4),
        _step(_LOAD, _FIRST_ARGUMENT),
        _step(_AND_SET, _CLONE_THREAD, on_false=1),
        _step(_RETURN, _ALLOW),
        _step(_RETURN, _ERRNO | errno.EPERM),
    ]
    for number in sorted(refused.values()):
        steps += [_step(_EQUAL, number, on_false=1), _step(_RETURN, _ERRNO | errno.EPERM)]
    steps.append(_step(_RETURN, _ALLOW))
    return b"".join(steps)


def _step(code: int, value: int, *, on_true: int = 0, on_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, on_true, on_false, value)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def apply() -> None:
    """From here on the calling thread, and what it starts, may not make these calls. There is no way back.

    Raises
    ------
    OSError
        The kernel refuses filters, or the architecture is not known here.
    """
    if not available():
        raise OSError(errno.ENOSYS, f"no filter of system calls for {platform.machine()}")
    steps = program(platform.machine())
    library = ctypes.CDLL(None, use_errno=True)
    given = _Program(len(steps) // 8, steps)
    if library.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or (
        library.prctl(_SET_SECCOMP, _FILTER, ctypes.byref(given), 0, 0) != 0
    ):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
