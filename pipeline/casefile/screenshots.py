"""The pictures of docs/case-files.md: ``python -m pipeline.casefile.screenshots --out docs/images``.

Without ``--lake`` a small lake with a planted hydra is simulated, always the same. Needs playwright and a Chromium.
"""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

START = datetime(2026, 1, 12, tzinfo=UTC)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

# File: (width and height of the window, the element that is shown; None: what the window shows).
PICTURES: dict[str, tuple[tuple[int, int], str | None]] = {
    "case-file-summary": ((960, 1000), None),
    "case-file-timeline": ((900, 900), "#figure-timeline"),
    "case-file-coverage": ((900, 900), "#figure-coverage"),
    "case-file-prompts": ((900, 900), "#figure-prompts"),
    "case-file-graph": ((900, 900), "#figure-graph"),
    "case-file-phone": ((390, 844), None),
}


def planted_lake(folder: Path) -> tuple[Path, str]:
    """A scored lake of simulated traffic, and the cluster that an alert found in it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pipeline.assembly import engine_for, open_or_create_lake
    from pipeline.clock import ManualClock
    from pipeline.ingest import ingest_file
    from pipeline.landing import LandingSettings
    from pipeline.records.decode import RecordDecoder
    from pipeline.scoring import score_lake
    from pipeline.simulate.records import Traffic
    from pipeline.simulate.world import WorldSettings, build_world

    log = folder / "log.parquet"
    world = build_world(WorldSettings(records=12_000, accounts=120, seed=5, attack_share=0.15, days=4))
    pq.write_table(pa.concat_tables(Traffic(world, START)), log)
    clock = ManualClock(START)
    lake = open_or_create_lake(folder / "lake", clock=clock)
    engine = engine_for(lake, "numpy")
    forever = LandingSettings(segment_seconds=float("inf"), roll_up_seconds=float("inf"))
    decoder = RecordDecoder(lake.config.space, adapter="native")
    ingest_file(lake, engine, decoder, log, clock=clock, settings=forever)
    scoring = score_lake(lake, lake.snapshot(), engine, clock, fdr=0.2)
    return lake.root, next(each.subject_id for each in scoring.alerts if each.subject_kind == "cluster")


def take(page: Path, out: Path, tell: Callable[[str], object]) -> None:
    """Take every picture of a case file.

    Raises
    ------
    UsageError
        There is no playwright, or no Chromium for it to drive.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        msg = "pictures need playwright; install the tests' dependencies (make setup)"
        raise UsageError(msg) from error
    found = next((there for name in BROWSERS if (there := shutil.which(name))), None)
    if found is None:
        msg = f"pictures need a browser; there is none of {', '.join(BROWSERS)} on the path"
        raise UsageError(msg)
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        for name, ((width, height), element) in PICTURES.items():
            context = browser.new_context(offline=True, viewport={"width": width, "height": height})
            tab: Any = context.new_page()
            tab.goto(page.as_uri())
            path = out / f"{name}.png"
            (tab.locator(element) if element else tab).screenshot(path=path)
            tell(f"{path}: {path.stat().st_size:,} bytes")
            context.close()
        browser.close()


@click.command()
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("docs/images"), show_default=True
)
@click.option("--lake", "lake_path", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--subject", help="Account or cluster; needed with --lake.")
def command(out: Path, lake_path: Path | None, subject: str | None) -> None:
    """Make a case file and take its pictures."""
    from pipeline.casefile import case_document, render
    from pipeline.investigate import open_lake

    with tempfile.TemporaryDirectory() as folder:
        if lake_path is None:
            lake_path, subject = planted_lake(Path(folder))
        if subject is None:
            msg = "say with --subject which case of the lake is shown"
            raise UsageError(msg)
        record = Path(folder) / "audit.jsonl"
        with open_lake(lake_path, who="screenshots", audit=record) as investigation:
            document = case_document(
                investigation.case(subject), case_id="C-2026-007", prepared_by="M. Weber"
            )
        page = Path(folder) / "case.html"
        page.write_text(render(document), encoding="utf-8")
        take(page, out, click.echo)


if __name__ == "__main__":
    command()
