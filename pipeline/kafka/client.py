"""kafka-python clients, with security from a properties file as Java clients read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

CLIENT_ID = "distillwatch"


def admin(bootstrap_servers: str, security: Mapping[str, Any] | None = None, **settings: Any) -> Any:
    """A `kafka.KafkaAdminClient`; the caller closes it."""
    from kafka import KafkaAdminClient

    return KafkaAdminClient(
        bootstrap_servers=bootstrap_servers, client_id=CLIENT_ID, **dict(security or {}), **settings
    )
