"""``distillwatch refit``: a forest that has learned from an operator's verdicts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.lake_options import LAKE
from pipeline.cli.output import Format, format_option, print_mappings, print_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.fit.from_verdicts import Change, Figures, Refit

NOT_CALIBRATED = (
    "its p-values were not calibrated on whole worlds (docs/adr/0011), as those of the shipped forest were: nothing measured "
    "says that its list keeps the false discovery rate of `score --fdr`, .05 by default"
)
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
@click.option(
    "--even-if-worse",
    is_flag=True,
    help="Write the file although the figures say that the new forest is worse.  [default: it is not written]",
)
@format_option
def command(
    *, lakes: tuple[Path, ...], out: Path, model: Path | None, even_if_worse: bool, format_: Format
) -> int:
    """Fit the detector anew from verdicts, and say whether it is better on accounts it had not seen.

    Learned are accounts whose standing verdict is attack or benign, with their signals of the newest scoring. The figures
    are by cross-validation over accounts, at a p-value of .01; accounts that people looked at are no sample of all, so
    they compare the two and are no rates of the population. No lake is changed: `score --model` uses the file.

    A forest that is worse is not written, and the exit code is 1. The list of any refitted forest rests on p-values that were not
    calibrated on whole worlds.
    """
    from pipeline.assembly import open_lake
    from pipeline.cli.progress import Steps
    from pipeline.clock import SystemClock
    from pipeline.detectors.forest.model import Forest, shipped_forest
    from pipeline.errors import UsageError
    from pipeline.fit.from_verdicts import (
        WORSE,
        Labelled,
        changes,
        compare,
        labelled_accounts,
        outcome,
        weights,
    )

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
    changed = changes(before, after)
    said = outcome(changed)
    learned = {
        "base": base.fingerprint,
        "digest": labelled.digest,
        "attack": after.attack,
        "benign": after.benign,
        "before": _row("before", before),
        "after": _row("after", after),
        "outcome": said,
    }
    forest = replace(forest, fitted={**base.fitted, **forest.fitted, "verdicts": learned})
    if format_ is Format.TABLE:
        cells = [
            (f"{each.figure} of {of:,}" if of else each.figure, each.before, each.after, each.outcome)
            for each, of in zip(changed, (after.benign, after.attack, 0), strict=True)
        ]
        print_rows(("figure", "before", "after", "that is"), cells)
    else:
        print_mappings([_row("before", before), _row("after", after)], format_, columns=COLUMNS)
    click.echo(_told(said, changed), err=True)
    if said == WORSE and not even_if_worse:
        click.echo(
            f"{out} is not written. Look for a wrong verdict among those it learned from (`distillwatch verdict list`), gather "
            "more, or write it all the same with --even-if-worse",
            err=True,
        )
        return 1
    forest.save(out)
    click.echo(
        f"{out}: forest {forest.fingerprint}, fitted from {base.fingerprint} and {len(labelled):,} accounts with verdicts "
        f"(digest {labelled.digest}); use it with `distillwatch score --model {out}`",
        err=True,
    )
    click.echo(f"note: {NOT_CALIBRATED}", err=True)
    return 0


def _told(said: str, changed: Sequence[Change]) -> str:
    moved = ", ".join(
        f"{each.figure.replace('_', ' ')} {each.before:g} -> {each.after:g} ({each.outcome})"
        for each in changed
        if each.outcome != "equal"
    )
    words = {
        "better": f"the new forest is BETTER than the one it began with, on accounts it had not seen: {moved}",
        "equal": "the new forest is EQUAL to the one it began with in every figure, on accounts it had not seen",
        "worse": f"warning: the new forest is WORSE than the one it began with, on accounts it had not seen: {moved}",
        "mixed": "warning: the new forest is better in one figure and WORSE in another than the one it began with, on "
        f"accounts it had not seen: {moved}",
    }
    return f"{words[said]}; one account more or less may be chance"


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
