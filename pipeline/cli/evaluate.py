"""``distillwatch evaluate``: the detection benchmark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.clock import Clock
    from pipeline.evaluate.worlds import EvaluationSettings

DEFAULT_SHARES = (0.06, 0.01, 0.0)
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
    type=click.Choice(["product", "labrai", "leak"]),
    default="product",
    show_default=True,
    help="product: lakes under the conditions of use. labrai: windows against an i.i.d. benign pool. leak: whether one field or signal gives attackers away.",
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
    help="Numbers of records instead, e.g. 50,100,200,500,1500; each account has one of them.",
)
@click.option(
    "--attack-share",
    "shares",
    type=Numbers(float),
    default=",".join(map(str, DEFAULT_SHARES)),
    show_default=True,
    help="Shares of the accounts that attack, a group of worlds each.",
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
    shares: tuple[float, ...],
    dilutions: tuple[float, ...],
    days: float,
    metadata: str,
    leave_out: str,
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

    from pipeline.clock import SystemClock
    from pipeline.evaluate.corpora import DEFAULT_DATA
    from pipeline.evaluate.plan import plan
    from pipeline.evaluate.worlds import EvaluationSettings

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
    )
    clock, console = SystemClock(), Console(width=WIDTH, highlight=False)
    numbers = range(first_seed, first_seed + seeds)
    worlds = plan(
        base,
        seeds=numbers,
        shares=shares,
        metadata={"with": (True,), "without": (False,), "both": (True, False)}[metadata],
        leave_out=leave_out,
    )
    if protocol == "product":
        found = _product(worlds, detectors, clock, console, fdr=fdr, looks=looks)
    elif protocol == "labrai":
        found = _labrai(base.data, detectors, list(numbers), console, windows=windows, pairs=pairs)
    else:
        found = _leak([each for _, each in worlds if each.attack_share > 0], detectors, clock, console)
    if json_path is not None:
        json_path.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        click.echo(f"all figures are in {json_path}", err=True)
    if found.get("failed"):
        context.exit(1)


def _chosen(detectors: Sequence[str], baselines: Sequence[str]) -> tuple[list[str], list[str]]:
    """Ours and others of the wanted detectors."""
    from pipeline.detectors import DETECTORS
    from pipeline.evaluate.baselines import get_baseline

    wanted = list(dict.fromkeys(detectors)) or [*DETECTORS, *baselines]
    ours = [name for name in wanted if name in DETECTORS]
    others = [name for name in wanted if name not in DETECTORS]
    for name in others:
        get_baseline(name)  # a name that nobody knows is told now, not after an hour
    return ours, others


def _product(
    worlds: Sequence[tuple[str, EvaluationSettings]],
    detectors: Sequence[str],
    clock: Clock,
    console: Any,
    *,
    fdr: float,
    looks: Sequence[int],
) -> dict[str, Any]:
    from pipeline.cli.progress import reporter
    from pipeline.evaluate.baselines import BASELINES
    from pipeline.evaluate.product import run_world
    from pipeline.evaluate.report import print_report, summarise

    ours, others = _chosen(detectors, list(BASELINES))
    judged = []
    with reporter("evaluate") as advance:

        def teller(done: int, label: str) -> Callable[[str], None]:
            return lambda what: advance(done, len(worlds), f"{label}: {what}")

        for i, (label, settings) in enumerate(worlds):
            judged.append(
                run_world(
                    settings,
                    ours=ours,
                    baselines=others,
                    clock=clock,
                    fdr=fdr,
                    looks=looks,
                    label=label,
                    report=teller(i, f"{label}, seed {settings.seed}"),
                )
            )
        advance(len(worlds), len(worlds), "done")
    # Detectors without metadata are other detectors: their figures are not mixed.
    parts = {}
    for bare, title in ((True, "with metadata"), (False, "without metadata")):
        mine = [world for world in judged if world.settings.metadata == bare]
        if mine:
            parts[title] = summarise(mine)
            console.rule(title, align="left")
            print_report(parts[title], console)
    return {"protocol": "product", "fdr": fdr, **parts}


def _labrai(
    data: Path | None,
    detectors: Sequence[str],
    seeds: Sequence[int],
    console: Any,
    *,
    windows: int,
    pairs: int,
) -> dict[str, Any]:
    from pipeline.cli.progress import reporter
    from pipeline.evaluate import labrai
    from pipeline.evaluate.report import print_labrai

    names = list(dict.fromkeys(detectors)) or [labrai.OURS, *labrai.BASELINES]
    with reporter("evaluate") as advance:
        found = labrai.run(data, names, seeds, pairs=pairs, count=windows, report=advance)
    print_labrai(found, console)
    return found


def _leak(
    worlds: Sequence[EvaluationSettings], detectors: Sequence[str], clock: Clock, console: Any
) -> dict[str, Any]:
    from pipeline.cli.progress import reporter
    from pipeline.errors import UsageError
    from pipeline.evaluate.leak import BOUND, check_leaks
    from pipeline.evaluate.report import print_leaks

    if not worlds:
        msg = "the leak check needs attackers; give an --attack-share above 0"
        raise UsageError(msg)
    ours, _ = _chosen(detectors, [])
    with reporter("evaluate") as advance:
        leaks = check_leaks(
            worlds,
            clock,
            detector=ours[0] if ours else "robust",
            report=lambda done, what: advance(done, len(worlds), what),
        )
        advance(len(worlds), len(worlds), "done")
    print_leaks(leaks, console)
    return {
        "protocol": "leak",
        "bound": BOUND,
        "worlds": len(worlds),
        "failed": any(leak.fails for leak in leaks),
        "leaks": [leak.to_json() for leak in leaks],
    }
