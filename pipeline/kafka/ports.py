"""Free ports on loopback."""

from __future__ import annotations

import random
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"
LOWEST = 10_240
TRIES = 1_000
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port right now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a connection that lingers in TIME_WAIT does not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> tuple[int, ...]:
    """Some different ports that are free now. Another program may still take one first: be ready to retry.

    They lie below the range from which the system picks ports for outgoing connections, so that a server
    that is stopped and started again finds its port where it left it.
    """
    below = _ephemeral_start()
    found: set[int] = set()
    for _ in range(TRIES):
        port = random.randrange(LOWEST, below)  # noqa: S311 -- no secret
        if port not in found and is_free(port):
            found.add(port)
        if len(found) == count:
            return tuple(sorted(found))
    msg = f"no {count} free ports on {LOOPBACK} between {LOWEST} and {below} in {TRIES} tries"
    raise OSError(msg)


def _ephemeral_start() -> int:
    try:
        start = int(_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 32_768
    # Some systems hand out nearly all ports; then there is no quiet range below.
    return start if start > LOWEST + 5_000 else 65_536
