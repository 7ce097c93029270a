"""``distillwatch demo``: everything once, on a real Kafka, with attackers that are known."""

from __future__ import annotations

import re
from pathlib import Path

import click


@click.command("demo")
@click.option(
    "--records", type=click.IntRange(5_000), default=100_000, show_default=True, help="Records to send."
)
@click.option("--accounts", type=click.IntRange(20), help="Accounts; default: one for 250 records.")
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Same seed, same accounts and attackers."
)
@click.option(
    "--lake",
    "lake_path",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the lake; it must not exist.  [default: demo-lake/<time> here]",
)
@click.option(
    "--no-console",
    is_flag=True,
    help="End when the story is told. Otherwise, on a terminal, the web console then shows the lake until Ctrl-C.",
)
@click.option(
    "--svg",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also draw what was printed as an SVG picture.",
)
def command(
    records: int, accounts: int | None, seed: int, lake_path: Path | None, no_console: bool, svg: Path | None
) -> int:
    """Start a Kafka, send traffic with known attackers, land it with a worker, score it, and tell what was found.

    Kafka and the worker are stopped at the end; the lake stays. Exit code 0 only if every planted single-account harvest is in the alert
    list or among the first of the queue.
    """
    from rich.console import Console

    from pipeline.cli.progress import Steps
    from pipeline.clock import SystemClock
    from pipeline.demo.run import DemoSettings, run_demo
    from pipeline.demo.story import QUEUE, tell
    from pipeline.errors import UsageError

    clock = SystemClock()
    if lake_path is None:
        lake_path = Path("demo-lake") / clock.now().strftime("%Y-%m-%dT%H-%M-%S")
    if lake_path.exists() and any(lake_path.iterdir()):
        msg = f"{lake_path} is there already; name another folder with --lake, or remove it"
        raise UsageError(msg)
    lake_path.parent.mkdir(parents=True, exist_ok=True)
    # A pipe has no width; a log line should not be folded at 80.
    width = 132 if svg is not None else None
    console = Console(record=svg is not None, width=width, highlight=False, soft_wrap=width is None)
    if not console.is_terminal and width is None:
        console = Console(width=140, highlight=False)
    settings = DemoSettings(records, accounts or max(20, round(records / 250)), seed, lake_path)
    began = clock.monotonic()
    with Steps("demo") as steps:

        def say(line: str) -> None:
            steps.finish()
            console.print(line)

        outcome = run_demo(settings, clock, say, steps)
    tell(console, outcome, lake_path)
    console.print()
    planted, missed = outcome.planted, outcome.missed
    listed = sum(label.account_id in outcome.accused for label in planted)
    if missed:
        named = ", ".join(label.account_id for label in missed)
        console.print(f"NOT FOUND: {len(missed)} of {len(planted)} single-account harvests: {named}")
    else:
        # Few hundred accounts seldom give p-values as small as the list's false discovery rate asks for.
        where = f"{listed or 'none'} of them in the alert list, {'the others' if listed else 'all'}"
        console.print(
            f"All {len(planted)} single-account harvests were found: {where} among the first {QUEUE} of the queue. "
            f"{clock.monotonic() - began:.0f} s in all."
        )
    if svg is not None:
        svg.parent.mkdir(parents=True, exist_ok=True)
        drawn = console.export_svg(title="make demo")
        # rich asks a CDN for its font; a picture in a repository asks nobody.
        svg.write_text(re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL), encoding="utf-8")
    if console.is_terminal and not no_console and svg is None:
        _show(lake_path)
    return 1 if missed or not planted else 0


def _show(lake: Path) -> None:
    """Serve the console over the demo's lake until Ctrl-C."""
    import getpass

    try:
        from pipeline.console.settings import ConsoleSettings
        from pipeline.console.start import serve
    except ModuleNotFoundError:
        # A bare install has no console; the story has been told.
        return
    click.echo("\nThe console shows the lake now; Ctrl-C ends it.", err=True)
    serve(ConsoleSettings(lake=lake, port=0), getpass.getuser(), say=lambda text: click.echo(text, err=True))
