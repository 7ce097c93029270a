"""Where an account's prompts lie, on a plane that is the same for every account; and the records of a region of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.console.grids import grid
from pipeline.console.pages.accounts import missing
from pipeline.console.pages.clusters import known
from pipeline.console.routes import PageRoute
from pipeline.errors import UsageError
from pipeline.investigate import projection

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from starlette.responses import Response

    from pipeline.console.page import Page

NEWEST = 2000
EACH = 50
MOST_CORNERS = 200
COLUMNS = (
    "event_time", "account_id", "request_id", "model", "input_tokens", "output_tokens", "reasoning_requested", "prompt_hash",
    "template_hash", "client_network", "topic", "partition", "offset", "row",
)  # fmt: skip


def prompts(page: Page) -> Response:
    """The plane, and what lies in the region that the address names."""
    name = page.exactly("id")
    corners = region(page.get("region"))
    number = page.integer("page", 1, low=1, high=100_000)
    answer = page.playbook("case_prompts", subject=name, newest=NEWEST)
    # It is drawn for clusters too.
    if not answer.table.num_rows and not known(page, name) and (gone := missing(page, name)) is not None:
        return gone
    background = page.playbook("case_benign_prompts", subject=name)
    space = page.console.queries.lake.config.space
    behind = projection.grid(background.table.column("embedding"), space.dimension)
    mine = projection.grid(answer.table.column("embedding"), space.dimension)
    plane = projection.plane_of(space, behind)
    places, others = plane(mine), plane(behind)
    inside = within(places, corners) if corners is not None else np.ones(len(places), bool)
    rows: list[dict[str, Any]] = answer.table.drop_columns(["embedding"]).filter(inside).to_pylist()
    shown = [_hex(row) for row in rows[(number - 1) * EACH : number * EACH]]
    drawing = {
        "account": places.tolist(),
        "benign": others.tolist(),
        "harvested": [[each.x, each.y, each.weight] for each in plane.centres if each.harvested],
        "ordinary": [[each.x, each.y, each.weight] for each in plane.centres if not each.harvested],
        "region": None if corners is None else corners.tolist(),
    }
    bounds = [float(value) for value in (*places.min(0), *places.max(0))] if len(places) else [0.0] * 4
    return page.render(
        "prompts.html",
        id=name,
        drawing=drawing,
        plane=plane,
        variance=plane.variance(mine),
        records=len(places),
        background=len(others),
        newest=NEWEST,
        corners=corners,
        bounds=[round(value, 3) for value in bounds],
        total=len(rows),
        number=number,
        pages=max(1, -(-len(rows) // EACH)),
        first=(number - 1) * EACH + 1,
        grid=grid(
            page,
            shown,
            caption="Records in the region" if corners is not None else "Records",
            only=COLUMNS,
            labels={"prompt_hash": "prompt", "template_hash": "template"},
        ),
    )


def _hex(row: dict[str, Any]) -> dict[str, Any]:
    return {
        **row,
        **{key: None if row[key] is None else f"{row[key]:016x}" for key in ("prompt_hash", "template_hash")},
    }


def region(text: str) -> NDArray[np.float64] | None:
    """Corners float64[n, 2] of the region that an address names as ``x,y,x,y,…``; two corners are a rectangle.

    Raises
    ------
    UsageError
        It is no region.
    """
    if not text:
        return None
    try:
        values = np.array([float(each) for each in text.split(",")])
    except ValueError:
        values = np.array([np.nan])
    if len(values) % 2 or not 4 <= len(values) <= 2 * MOST_CORNERS or not np.isfinite(values).all():
        msg = "region has to be x,y,x,y,\u2026: the corners of a polygon, or two opposite ones of a rectangle"
        raise UsageError(msg)
    corners = values.reshape(-1, 2)
    if len(corners) == 2:
        (x0, y0), (x1, y1) = corners.tolist()
        corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    return corners


def within(points: NDArray[np.float64], corners: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of n points lie in a polygon (even-odd rule), bool[n]."""
    inside = np.zeros(len(points), bool)
    x, y = points[:, 0], points[:, 1]
    before = corners[-1]
    for corner in corners:
        (x0, y0), (x1, y1) = before, corner
        crosses = (y0 > y) != (y1 > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            at = (x1 - x0) * (y - y0) / (y1 - y0) + x0
        inside ^= crosses & (x < at)
        before = corner
    return inside


ROUTES = (PageRoute("/account/prompts", prompts),)
