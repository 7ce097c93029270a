"""What a page is to the router: an address, a method, a function, and the role that it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from pipeline.console.page import Page

Handler = Callable[["Page"], Response]


@dataclass(frozen=True, slots=True)
class PageRoute:
    """One page.

    Parameters
    ----------
    role
        The least role that may use it. The server asks on every request; that a page hides a button is a courtesy.
    """

    path: str
    handler: Handler
    role: str = "viewer"
    method: str = "GET"
