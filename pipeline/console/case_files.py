"""The case file, as the command line makes it, asked for in a browser."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pipeline.times import to_text

if TYPE_CHECKING:
    from pipeline.console.page import Page

_DRAWING = threading.Lock()


def render_case_file(page: Page, subject: str) -> str:
    """One self-contained page about an account or a cluster.

    Raises
    ------
    UsageError
        The lake knows nobody of that name.
    """
    # Charts are drawn by a library that a console without case files never needs.
    from pipeline.casefile import case_document, render
    from pipeline.investigate import open_lake

    settings = page.console.settings
    case = page.get("case") or None
    # The library that draws is not for several threads at once.
    with (
        _DRAWING,
        open_lake(
            settings.lake,
            who=page.user.name,
            case=case,
            manifest=page.manifest,
            weaker_guard=settings.weaker_guard,
            seconds=settings.seconds,
            memory_bytes=settings.memory_bytes,
        ) as lake,
    ):
        document = case_document(
            lake.case(subject),
            prepared_by=page.user.name,
            case_id=case,
            dated=to_text(page.console.clock.now().replace(tzinfo=None, microsecond=0)),
        )
        return render(document)
