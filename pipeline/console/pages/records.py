"""Records of an account in a stretch of time: from a window down to the position in the log."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from pipeline.console.grids import grid
from pipeline.console.page import FOREVER
from pipeline.console.pages.accounts import missing
from pipeline.console.routes import PageRoute

if TYPE_CHECKING:
    from starlette.responses import Response

    from pipeline.console.page import Page

EACH = 50
COLUMNS = (
    "event_time", "request_id", "model", "input_tokens", "output_tokens", "temperature", "choice_count", "reasoning_requested",
    "logprobs", "prompt", "template", "client_network", "country", "user_agent", "payment_id", "status", "latency_ms", "topic",
    "partition", "offset", "row",
)  # fmt: skip
FILTERS = ("model", "client_network", "template", "prompt")


def records(page: Page) -> Response:
    """One page of records."""
    name = page.exactly("id")
    since, until = page.moment("since"), page.moment("until")
    if page.get("window") and since is not None and until is None:
        until = since + timedelta(seconds=page.console.queries.lake.config.window_seconds)
    number = page.integer("page", 1, low=1, high=1_000_000)
    asked = {
        "account_id": name,
        **({"since": since} if since else {}),
        "until": until or FOREVER.replace(microsecond=0),
        **{key: page.exactly(key) or None for key in FILTERS},
    }
    rows = page.rows("account_records", **asked, limit_rows=EACH, skip_rows=(number - 1) * EACH)
    if not rows and (gone := missing(page, name)) is not None:
        return gone
    total = rows[0]["matching"] if rows else 0
    return page.render(
        "records.html",
        id=name,
        since=since,
        until=until,
        filters={key: page.exactly(key) for key in FILTERS},
        total=total,
        number=number,
        pages=max(1, -(-total // EACH)),
        first=(number - 1) * EACH + 1,
        grid=grid(
            page,
            rows,
            caption="Records",
            only=COLUMNS,
            links={
                "prompt": lambda row: page.link("/account/records", id=name, prompt=row["prompt"]),
                "template": lambda row: page.link("/account/records", id=name, template=row["template"]),
                "client_network": lambda row: page.link(
                    "/account/records", id=name, client_network=row["client_network"]
                ),
                "model": lambda row: page.link("/account/records", id=name, model=row["model"]),
            },
        ),
    )


ROUTES = (PageRoute("/account/records", records),)
