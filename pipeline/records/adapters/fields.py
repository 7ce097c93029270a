"""Small conversions that adapters share."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipeline.records.wire import KNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "distillwatch."
IPV4_PREFIX = 24
IPV6_PREFIX = 48  # what one customer usually gets


def network_of(address: Any) -> str | None:
    """The network of a client address: /24 of IPv4, /48 of IPv6; None if it is no address.

    Takes an address, an address with a port, a network, or a forwarded list (its first entry is the client).

    Examples
    --------
    >>> network_of("203.0.113.77:50123")
    '203.0.113.0/24'
    >>> network_of("2001:db8:1:2::3")
    '2001:db8:1::/48'
    """
    if not isinstance(address, str):
        return None
    text = address.split(",")[0].strip()
    if text.startswith("["):
        text = text[1:].split("]")[0]
    elif text.count(":") == 1:
        text = text.split(":")[0]
    text = text.split("%")[0]  # the zone of a link-local address
    try:
        given = ipaddress.ip_interface(text)
    except ValueError:
        return None
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address = given.ip
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip, length = ip.ipv4_mapped, IPV4_PREFIX
    else:
        finest = IPV4_PREFIX if ip.version == 4 else IPV6_PREFIX
        length = min(given.network.prefixlen, finest)
    return str(ipaddress.ip_network((ip, length), strict=False))


def nanoseconds(value: Any) -> int | None:
    """A 64-bit count of nanoseconds, which OTLP/JSON writes as a decimal text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
        return int(value)
    return None


def time_of_nanoseconds(value: int) -> str | int:
    """Nanoseconds since 1970 as RFC 3339 with nine digits; beyond year 9999 the seconds, which will be refused."""
    seconds, rest = divmod(value, 1_000_000_000)
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return seconds
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def flag(value: Any) -> bool | None:
    """A switch that some gateways write as a number (``logprobs: 5``) or a word."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return value > 0
    if isinstance(value, str):
        return value.lower() not in {"", "false", "none", "disabled", "off", "0"}
    return None


def own_fields(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes named ``distillwatch.<field>``, by the field's name; they go before everything else."""
    own = {name.removeprefix(PREFIX): value for name, value in attributes.items() if name.startswith(PREFIX)}
    return {name: value for name, value in own.items() if name in KNOWN and value is not None}


def merged(mapped: Mapping[str, Any], rest: Mapping[str, Any]) -> dict[str, Any]:
    """Mapped fields, and what was not mapped under its own name unless that is a field of the contract."""
    fields = {name: value for name, value in rest.items() if name not in KNOWN}
    fields.update((name, value) for name, value in mapped.items() if value is not None)
    return fields
