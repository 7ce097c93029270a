"""``distillwatch refit``: a forest that has learned from an operator's verdicts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.lake_options import LAKE
from pipeline.cli.output import Format, format_option, print_mappings

if TYPE_CHECKING:
    from pipeline.fit.from_verdicts import Figures, Refit

COLUMNS = ("forest", "benign", "false_positives", "attack", "found", "area_under_curve")


@click.command("refit")
@click.option(
    "--lake", "lakes", type=LAKE, multiple=True, required=True, help="Folder of a lake; may be repeated."
)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to write (.npz)."
)
@click.option(
    "--model",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Forest to begin with.  [default: the shipped one]",
)
@format_option
def command(*, lakes: tuple[Path, ...], out: Path, model: Path | None, format_: Format) -> None:
    """Fit the detector anew from verdicts, and say what that changes on accounts it had not seen.

    Learned are accounts whose standing verdict is attack or benign, with their signals of the newest scoring. The figures
    are by cross-validation over accounts, at a p-value of .01; accounts that people looked at are no sample of all, so
    they compare the two and are no rates of the population. No lake is changed: `score --model` uses the file.
    """
    from pipeline.assembly import open_lake
    from pipeline.cli.progress import Steps
    from pipeline.clock import SystemClock
    from pipeline.detectors.forest.model import Forest, shipped_forest
    from pipeline.errors import UsageError
    from pipeline.fit.from_verdicts import Labelled, compare, labelled_accounts, weights

    if out.exists():
        msg = f"{out} is there already; name another file, or remove it"
        raise UsageError(msg)
    clock = SystemClock()
    labelled = Labelled.joined([labelled_accounts(open_lake(path, clock=clock).snapshot()) for path in lakes])
    labelled.check()
    refit = _refit()
    base = shipped_forest() if model is None else Forest.load(model)
    with Steps("refit") as steps:
        before, after = compare(base, labelled, refit, report=steps.report)
        forest = refit(base, labelled.ranks, labelled.attack, weights(labelled))
    learned = {
        "base": base.fingerprint,
        "digest": labelled.digest,
        "attack": after.attack,
        "benign": after.benign,
        "before": _row("before", before),
        "after": _row("after", after),
    }
    forest = replace(forest, fitted={**base.fitted, **forest.fitted, "verdicts": learned})
    forest.save(out)
    print_mappings([_row("before", before), _row("after", after)], format_, columns=COLUMNS)
    click.echo(
        f"{out}: forest {forest.fingerprint}, fitted from {base.fingerprint} and {len(labelled):,} accounts with verdicts "
        f"(digest {labelled.digest}); use it with `distillwatch score --model {out}`",
        err=True,
    )


def _refit() -> Refit:
    from pipeline.errors import UsageError

    try:
        import sklearn  # noqa: F401

        from pipeline.fit import forest
    except ModuleNotFoundError as error:
        msg = f"`distillwatch refit` needs the package {error.name}, which is not installed: pip install 'distillwatch[fit]'"
        raise UsageError(msg) from error
    return forest.refit


def _row(name: str, figures: Figures) -> dict[str, object]:
    return {
        "forest": name,
        "benign": figures.benign,
        "false_positives": figures.false_positives,
        "attack": figures.attack,
        "found": figures.found,
        "area_under_curve": round(figures.area, 4),
    }
