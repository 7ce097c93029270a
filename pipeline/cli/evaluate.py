"""``distillwatch evaluate``: the detection benchmark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

DEFAULT_SHARES = (0.06, 0.01, 0.0)
FDR_SHARES = (0.05, 0.01, 0.001, 0.0)
WIDTH = 250


class Numbers(click.ParamType):
    """Numbers with commas between them."""

    name = "numbers"

    def __init__(self, kind: type[int] | type[float]) -> None:
        self._kind = kind

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...] | tuple[float, ...]:
        """A tuple, possibly empty."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(self._kind(part) for part in str(value).split(",") if part.strip())
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers such as 50,100", param, ctx)


@click.command("evaluate", short_help="The detection benchmark.")
@click.option(
    "--protocol",
    type=click.Choice(["product", "fdr", "looks", "ablation", "labrai", "leak"]),
    default="product",
    show_default=True,
    help="product: lakes under the conditions of use. fdr: realised false discovery rate by base rate and reference. "
    "looks: live scoring, who is ever accused. ablation: refitted without each family of signals. "
    "labrai: windows against an i.i.d. benign pool. leak: whether one field or signal gives attackers away.",
)
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Worlds of each group.")
@click.option("--first-seed", type=int, default=501, show_default=True)
@click.option("--accounts", type=click.IntRange(20), default=3000, show_default=True, help="Of each world.")
@click.option(
    "--records", type=click.IntRange(20), default=160, show_default=True, help="Mean records of an account."
)
@click.option(
    "--sizes",
    type=Numbers(int),
    default="",
    help="Numbers of records instead, e.g. 50,100,200,500,1500; each account has one of them. "
    "labrai: sizes of the windows, default 1500,100.",
)
@click.option(
    "--attack-share",
    "--base-rates",
    "shares",
    type=Numbers(float),
    help="Shares of the accounts that attack, a group of worlds each; default: .06,.01,0; of fdr .05,.01,.001,0; "
    "of looks, ablation and --refit the largest of them alone.",
)
@click.option(
    "--dilution",
    "dilutions",
    type=Numbers(float),
    default="0.05,0.1,0.25,0.5",
    show_default=True,
    help="Shares of the harvest in diluted accounts.",
)
@click.option("--days", type=click.FloatRange(0.25, 3650), default=10.0, show_default=True)
@click.option(
    "--metadata",
    type=click.Choice(["with", "without", "both"]),
    default="with",
    show_default=True,
    help="Whether records have more than the required fields.",
)
@click.option(
    "--leave-out",
    type=click.Choice(["none", "source", "kind"]),
    default="none",
    show_default=True,
    help="A group of worlds for each source that alone is harvested, or kind that alone attacks.",
)
@click.option(
    "--refit",
    is_flag=True,
    help="With --leave-out: fit a detector without each source or kind, and judge it where that is.",
)
@click.option(
    "--only", multiple=True, help="With --refit or ablation: only these sources, kinds or families."
)
@click.option("--fit-worlds", type=click.IntRange(2), default=24, show_default=True, help="Worlds to fit on.")
@click.option("--fit-seed", type=int, default=900_000, show_default=True, help="The first of them.")
@click.option(
    "--fit-accounts",
    type=click.IntRange(40),
    default=1000,
    show_default=True,
    help="Accounts of each, about.",
)
@click.option("--trees", type=click.IntRange(1), help="Of each fit; default: as the shipped detector has.")
@click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep matrices of worlds here; a changed setting or changed code makes new ones.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Processes; figures stay the same.",
)
@click.option(
    "--alpha",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.002,
    show_default=True,
    help="looks: chance that a benign account may ever be accused.",
)
@click.option("--wide-specialists", is_flag=True, help="Specialists work on all topics of their sources.")
@click.option("--hydra-only", is_flag=True, help="Only hydras attack, with 12 to 45 records a member.")
@click.option(
    "--fleets",
    type=click.FloatRange(0, 0.5),
    default=0.0,
    show_default=True,
    help="Share of the benign accounts that are in fleets: one application's tenants, workers that share a job, labs.",
)
@click.option(
    "--unseen-kinds", is_flag=True, help="With kinds of account that no shipped model was fitted to."
)
@click.option(
    "--plots",
    type=click.Path(path_type=Path, file_okay=False),
    help="Charts as SVG, into this folder; needs the extra plots.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder with embeddings/SOURCE.parquet of real prompts; default: ../shared/data if it is there.",
)
@click.option("--simulated-prompts", is_flag=True, help="Shipped topic figures, whatever folder is there.")
@click.option("--plain-kinds", is_flag=True, help="Without the kinds that the simulator does not know.")
@click.option("--detector", "detectors", multiple=True, help="Only these; default: ours and all baselines.")
@click.option(
    "--looks",
    type=Numbers(int),
    default="",
    help="Also judge by the first so many records, e.g. 50,100,200,500: records until detection.",
)
@click.option(
    "--fdr",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.05,
    show_default=True,
    help="False discovery rate of our alert list.",
)
@click.option(
    "--windows", type=click.IntRange(5), default=12, show_default=True, help="labrai: windows of each mix."
)
@click.option(
    "--pairs",
    type=click.IntRange(1),
    default=14,
    show_default=True,
    help="labrai: harvested and benign corpora.",
)
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path, dir_okay=False), help="All figures, to this file."
)
@click.pass_context
def command(
    context: click.Context,
    *,
    protocol: str,
    seeds: int,
    first_seed: int,
    accounts: int,
    records: int,
    sizes: tuple[int, ...],
    shares: tuple[float, ...] | None,
    dilutions: tuple[float, ...],
    days: float,
    metadata: str,
    leave_out: str,
    refit: bool,
    only: tuple[str, ...],
    fit_worlds: int,
    fit_seed: int,
    fit_accounts: int,
    trees: int | None,
    cache: Path | None,
    workers: int,
    alpha: float,
    wide_specialists: bool,
    hydra_only: bool,
    fleets: float,
    unseen_kinds: bool,
    plots: Path | None,
    data: Path | None,
    simulated_prompts: bool,
    plain_kinds: bool,
    detectors: tuple[str, ...],
    looks: tuple[int, ...],
    fdr: float,
    windows: int,
    pairs: int,
    json_path: Path | None,
) -> None:
    """Measure detectors on simulated worlds that nothing was fitted on: whom they find, whom they accuse.

    Figures are per cent with 95 % intervals over worlds; a class with few accounts says little, and n says how few.
    The leak check ends with exit code 1 if one field or one signal alone separates attackers from the others.
    """
    from rich.console import Console

    from pipeline.cli import evaluations as runs
    from pipeline.clock import SystemClock
    from pipeline.evaluate.corpora import DEFAULT_DATA
    from pipeline.evaluate.plan import plan
    from pipeline.evaluate.worlds import EvaluationSettings

    runs.check_charts(plots)
    if data is None and not simulated_prompts and (DEFAULT_DATA / "embeddings").is_dir():
        data = DEFAULT_DATA
    base = EvaluationSettings(
        accounts=accounts,
        records=records,
        days=days,
        sizes=sizes,
        dilutions=dilutions,
        data=None if simulated_prompts else data,
        beyond=not plain_kinds,
        wide_specialists=wide_specialists,
        thin_hydras=hydra_only,
        fleet_share=fleets,
        unseen=unseen_kinds,
        attacks=("hydra", "hydra_covered") if hydra_only else (),
    )
    console = Console(width=WIDTH, highlight=False)
    numbers = range(first_seed, first_seed + seeds)
    shares = shares or (FDR_SHARES if protocol == "fdr" else DEFAULT_SHARES)
    if protocol in {"looks", "ablation"} or refit:
        shares = (max(shares),)
    worlds = plan(
        base,
        seeds=numbers,
        shares=shares,
        metadata={"with": (True,), "without": (False,), "both": (True, False)}[metadata],
        leave_out="none" if refit else leave_out,
    )
    how = runs.Fitting(fit_worlds, fit_seed, fit_accounts, trees, cache, only)
    common: dict[str, Any] = {"workers": workers, "fdr": fdr, "plots": plots}
    if refit:
        found = runs.transfer(leave_out, worlds[0][1], numbers, how, console, workers=workers, fdr=fdr)
    elif protocol == "product":
        found = runs.product(worlds, detectors, console, looks=looks, **common)
    elif protocol == "fdr":
        found = runs.discovery(worlds, detectors, console, workers=workers, fdr=fdr)
    elif protocol == "looks":
        found = runs.streams([each for _, each in worlds], console, workers=workers, alpha=alpha)
    elif protocol == "ablation":
        found = runs.ablation(worlds, how, console, **common)
    elif protocol == "labrai":
        found = runs.labrai(
            base.data,
            detectors,
            list(numbers),
            console,
            windows=windows,
            sizes=sizes,
            pairs=pairs,
            workers=workers,
        )
    else:
        attacked = [each for _, each in worlds if each.attack_share > 0]
        found = runs.leak(attacked, detectors, SystemClock(), console)
    if json_path is not None:
        json_path.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        click.echo(f"all figures are in {json_path}", err=True)
    if found.get("failed"):
        context.exit(1)
