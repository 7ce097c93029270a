"""What the console is started with."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class ConsoleSettings:
    """What the console is started with.

    Parameters
    ----------
    lake
        Folder of the lake.
    state
        SQLite file of cases, notes, verdicts and users; None: ``console/state.sqlite`` in the lake.
    host, port
        Where it listens. Anything but loopback is a decision, and is warned about.
    allowed_hosts
        Names under which browsers may reach it, beside loopback ones and ``host``: a page elsewhere cannot point its
        own name here and read what comes back.
    proxy_header, trusted_proxies
        Header in which a proxy that has logged people in names them, and the addresses that may say so.
    secure_cookies
        Whether browsers reach it by https only.
    children
        Confined processes that answer queries at the same time.
    seconds, memory_bytes
        Limits of one query.
    weaker_guard
        Go on where the kernel cannot confine them.
    """

    lake: Path
    state: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    allowed_hosts: tuple[str, ...] = ()
    proxy_header: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    secure_cookies: bool = False
    children: int = 2
    seconds: float = 30.0
    memory_bytes: int = 2 << 30
    weaker_guard: bool = False

    def __post_init__(self) -> None:
        if (self.proxy_header is None) != (not self.trusted_proxies):
            msg = (
                "--proxy-header and --trusted-proxy belong together: whose word is taken, and in which header"
            )
            raise UsageError(msg)
        for address in self.trusted_proxies:
            try:
                ipaddress.ip_network(address, strict=False)
            except ValueError:
                msg = f"--trusted-proxy {address!r} is no address; write 10.0.0.7 or 10.0.0.0/29"
                raise UsageError(msg) from None

    @property
    def state_file(self) -> Path:
        """Where state is kept."""
        return self.state or self.lake / "console" / "state.sqlite"

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def hosts(self) -> frozenset[str]:
        """Every name in a Host header that is answered, lower case, without port."""
        return frozenset(
            name.lower().strip("[]")
            for name in ("localhost", "127.0.0.1", "::1", self.host, *self.allowed_hosts)
        )

    def trusts(self, address: str | None) -> bool:
        """Whether a request from this address comes from a trusted proxy."""
        try:
            found = ipaddress.ip_address(address or "")
        except ValueError:
            return False
        return any(found in ipaddress.ip_network(each, strict=False) for each in self.trusted_proxies)
