"""``python -m pipeline.console.screenshots``: pictures of the console's pages, taken by a Chromium.

They show a simulated lake, or a copy of one that is named, with a case that two people decide, so that every page has
something to show. Needs the package ``playwright`` and a Chromium on this machine; nothing is fetched.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.clock import SystemClock
from pipeline.errors import DistillwatchError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.console.app import Console

CHROMIUM = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
MOST_BYTES = 200_000
WIDE, NARROW = (1440, 900), (390, 844)
APPROVED, CASE_FILE = "console-approved", "/export/case-file"
PATIENCE = 600
"""Seconds for a page or a query: a picture is no benchmark, and machines are busy."""


@contextmanager
def _served(app: Any) -> Iterator[str]:
    import uvicorn

    from pipeline.console.start import listening

    place = listening("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, proxy_headers=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [place]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{place.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        place.close()


def simulated(folder: Path) -> Path:
    """A lake of a simulated week, landed and scored: the same one every time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pipeline.assembly import engine_for, open_or_create_lake
    from pipeline.ingest import ingest_file
    from pipeline.landing import LandingSettings
    from pipeline.records.decode import RecordDecoder
    from pipeline.scoring import score_lake
    from pipeline.simulate.records import Traffic
    from pipeline.simulate.world import WorldSettings, build_world

    world = build_world(WorldSettings(records=60_000, accounts=450, seed=3, attack_share=0.08, days=8))
    log = folder / "log.parquet"
    pq.write_table(pa.concat_tables(Traffic(world, datetime(2026, 11, 20, tzinfo=UTC))), log)
    clock = SystemClock()
    lake = open_or_create_lake(folder / "simulated", clock=clock)
    engine = engine_for(lake, "numpy")
    decoder = RecordDecoder(lake.config.space, adapter="native")
    ingest_file(lake, engine, decoder, log, clock=clock, settings=LandingSettings())
    score_lake(lake, lake.snapshot(), engine, clock)
    return lake.root


def _subjects(console: Console) -> tuple[str, str]:
    """The account and the cluster to show: the first account of the queue, and the largest cluster in it."""
    found = {}
    for kind in ("account", "cluster"):
        rows = console.queries.playbook(
            "case_queue", {"subject_kind": kind, "decision": "alert", "limit_rows": 50}, who="screenshots"
        ).rows()
        rows.sort(key=lambda row: -int(str(row["members"])))
        if not rows:
            msg = f"no alert on an {kind} in this lake: there is nothing to show"
            raise DistillwatchError(msg)
        found[kind] = str(rows[0]["subject_id"])
    return found["account"], found["cluster"]


def _story(console: Console, cluster: str) -> int:
    """A case with a note, and a proposal that waits for the second person."""
    number = console.cases.open("cluster", cluster, "", "ana")
    console.cases.note(
        number,
        "Networks and payments that nobody else uses tie its accounts, and no prompt was sent by two of them. Chance would "
        "give few shared prompts too, so that alone says little.",
        "ana",
        link=f"/cluster?id={cluster}",
    )
    ana = console.users.named("ana")
    assert ana is not None
    console.flow.propose(
        number, ana, verdict="attack", reason="One list, shared out over accounts with common payments."
    )
    return number


def _approve(console: Console, case: int) -> None:
    """The second person agrees."""
    ben = console.users.named("ben")
    assert ben is not None
    (waiting,) = console.cases.proposals(case=case)
    console.flow.decide(waiting.id, ben, "approved")


def _shots(account: str, cluster: str, case: int) -> list[tuple[str, str, tuple[int, int], str]]:
    """Name, address, size of the window, light or dark."""
    sql = "select+account_id,+score,+p_value,+records%0Afrom+account_scores%0Aorder+by+score+desc%0Alimit+20"
    return [
        ("console-queue", "/queue", WIDE, "light"),
        ("console-account", f"/account?id={account}", WIDE, "light"),
        ("console-prompts", f"/account/prompts?id={account}", WIDE, "light"),
        ("console-coverage", f"/account/coverage?id={account}", WIDE, "light"),
        ("console-compare", f"/account/compare?id={account}", WIDE, "light"),
        ("console-cluster", f"/cluster?id={cluster}#graph", WIDE, "dark"),
        ("console-playbook", f"/playbooks?name=similar_accounts&p.account_id={account}&run=1", WIDE, "light"),
        ("console-sql", f"/sql?q={sql}&run=1", WIDE, "light"),
        ("console-case", f"/case?id={case}", WIDE, "light"),
        ("console-why", f"/account?id={account}#why", WIDE, "light"),
        ("console-records", f"/account/records?id={account}", WIDE, "light"),
        ("console-ties", f"/cluster?id={cluster}#ties", WIDE, "light"),
        ("console-audit", "/audit?check=1", WIDE, "light"),
        ("console-queue-narrow", "/queue", NARROW, "dark"),
        ("console-account-narrow", f"/account?id={account}", NARROW, "light"),
        # From here on the second person has agreed.
        (APPROVED, f"/case?id={case}", WIDE, "light"),
        ("console-case-file", f"{CASE_FILE}?subject={cluster}&case=case-{case}", (960, 1000), "light"),
    ]


def _show(page: Any, address: str, file: Path) -> None:
    """Go to an address; a case file comes as a file to keep, and what is shown is what a browser makes of it from disk."""
    if CASE_FILE in address:
        file.write_bytes(page.context.request.get(address, timeout=PATIENCE * 1000).body())
        address = file.as_uri()
    page.goto(address)
    page.wait_for_load_state("networkidle")


def _fewer_colours(path: Path) -> None:
    """A page has few colours: as a palette a picture takes a third."""
    # Comes with matplotlib, which draws the case files.
    from PIL import Image

    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(160, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


def take(lake: Path | None, out: Path, *, only: tuple[str, ...] = ()) -> list[Path]:
    """Take the pictures.

    Parameters
    ----------
    lake
        What they show a copy of; None: a simulated one.
    only
        Names to take; all of them by default.

    Raises
    ------
    DistillwatchError
        There is no Chromium, no alert in the lake, or a picture is too large for the documentation.
    """
    from playwright.sync_api import sync_playwright

    from pipeline.console import ConsoleSettings, create_app

    chromium = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if chromium is None:
        msg = f"there is no Chromium on this machine (none of {', '.join(CHROMIUM)})"
        raise DistillwatchError(msg)
    out.mkdir(parents=True, exist_ok=True)
    taken = []
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "lake"
        lake = lake or simulated(Path(temporary))
        shutil.copytree(lake, copy, ignore=shutil.ignore_patterns("audit", "console"))
        app = create_app(ConsoleSettings(lake=copy, seconds=PATIENCE))
        with _served(app) as base, sync_playwright() as playwright:
            console = app.console
            console.users.add("ana", "investigator")
            token = console.users.add("ben", "approver")
            account, cluster = _subjects(console)
            case = _story(console, cluster)
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            state = None
            for name, path, (width, height), scheme in _shots(account, cluster, case):
                if name == APPROVED:
                    _approve(console, case)
                if only and name not in only:
                    continue
                context = browser.new_context(
                    viewport={"width": width, "height": height},
                    color_scheme="dark" if scheme == "dark" else "light",
                    storage_state=state,
                    reduced_motion="reduce",
                )
                page = context.new_page()
                page.set_default_timeout(PATIENCE * 1000)
                if state is None:
                    page.goto(f"{base}/login")
                    page.fill("#token", token or "")
                    page.keyboard.press("Enter")
                    page.wait_for_url("**/queue*")
                    state = context.storage_state()
                _show(page, base + path, Path(temporary) / "case.html")
                target = out / f"{name}.png"
                page.screenshot(path=target)
                _fewer_colours(target)
                context.close()
                taken.append(target)
            browser.close()
    large = [path for path in taken if path.stat().st_size >= MOST_BYTES]
    if large:
        msg = f"{', '.join(path.name for path in large)}: {MOST_BYTES // 1000} kB are the most for a picture"
        raise DistillwatchError(msg)
    return taken


@click.command()
@click.option(
    "--lake", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Default: a simulated one."
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("docs/images"), show_default=True
)
@click.option("--only", multiple=True, help="Take these only.")
def main(lake: Path | None, out: Path, only: tuple[str, ...]) -> None:
    """Pictures of the console's pages for the documentation."""
    for path in take(lake, out, only=only):
        click.echo(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
