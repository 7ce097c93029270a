"""Logs of other systems onto the fields of the contract, message by message.

An adapter is a module with ``matches(message)``, ``adapt(message)`` and ``SOURCES``, which says for the required
fields where they are read from. Adapters see only messages that are not native, so native logs pay nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pipeline.records.adapters import litellm, otel

if TYPE_CHECKING:
    from collections.abc import Mapping

AdapterName = Literal["native", "otel", "litellm", "auto"]
ADAPTERS: tuple[AdapterName, ...] = ("native", "otel", "litellm", "auto")

_NO_SOURCES: Mapping[str, str] = {}


def adapt(message: dict[str, Any], name: AdapterName) -> tuple[dict[str, Any], Mapping[str, str]]:
    """One parsed message as fields of the contract, and where its required fields were looked for.

    Parameters
    ----------
    message
        The JSON object.
    name
        The format, or ``auto`` to go by the shape of this one message.

    Returns
    -------
    fields, sources
        Fields of the contract and, under their own names, the values that belong to none (they are counted, and
        text among them decides what is said about a missing embedding).

    Raises
    ------
    InvalidRecord
        If the message has the format's frame but not one record in it.
    """
    if name == "auto":
        name = recognise(message) or "native"
    if name == "otel":
        return otel.adapt(message), otel.SOURCES
    if name == "litellm":
        return litellm.adapt(message), litellm.SOURCES
    return message, _NO_SOURCES


def recognise(message: Mapping[str, Any]) -> AdapterName | None:
    """The format, other than the native one, that a message has by its shape."""
    if otel.matches(message):
        return "otel"
    return "litellm" if litellm.matches(message) else None
