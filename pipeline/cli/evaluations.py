"""What ``distillwatch evaluate`` runs for each protocol: progress, figures, tables and charts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.cli.progress import reporter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rich.console import Console

    from pipeline.clock import Clock
    from pipeline.evaluate.worlds import EvaluationSettings

    Worlds = Sequence[tuple[str, EvaluationSettings]]

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Fitting:
    """How detectors are fitted anew; ``trees`` None: as many as the shipped one has; ``only`` (): everything."""

    worlds: int
    seed: int
    accounts: int
    trees: int | None
    cache: Path | None
    only: tuple[str, ...]


def check_charts(plots: Path | None) -> None:
    """Told now, not after an hour."""
    if plots is not None:
        from pipeline.evaluate.plots import need_matplotlib

        need_matplotlib()


def chosen(detectors: Sequence[str], baselines: Sequence[str]) -> tuple[list[str], list[str]]:
    """Ours and others of the wanted detectors."""
    from pipeline.detectors import DETECTORS
    from pipeline.evaluate.baselines import get_baseline

    wanted = list(dict.fromkeys(detectors)) or [*DETECTORS, *baselines]
    ours = [name for name in wanted if name in DETECTORS]
    others = [name for name in wanted if name not in DETECTORS]
    for name in others:
        get_baseline(name)  # a name that nobody knows is told now, not after an hour
    return ours, others


def our_only(detectors: Sequence[str]) -> str:
    """The one detector of ours that a protocol is about; default: that of scoring runs."""
    from pipeline.detectors import get_detector

    name = detectors[0] if detectors else get_detector().name
    get_detector(name)
    return name


def _each(workers: int, title: str) -> Callable[[Callable[[Task], Result], Sequence[Task]], list[Result]]:
    """Does tasks in processes and shows how far it is."""
    from pipeline.evaluate.workers import in_processes

    def run(work: Callable[[Task], Result], tasks: Sequence[Task]) -> list[Result]:
        with reporter(title) as advance:
            return in_processes(
                work,
                tasks,
                workers,
                lambda done, task, step="": advance(done, len(tasks), _named(task, step)),
            )

    return run


def _named(task: Any, step: str) -> str:
    if task is None:
        return "done"
    label = getattr(task, "label", getattr(task, "group", ""))
    return f"{label} seed {task.settings.seed}{f': {step}' if step else ''}".strip()


def product(
    worlds: Worlds,
    detectors: Sequence[str],
    console: Console,
    *,
    fdr: float,
    looks: Sequence[int],
    workers: int,
    plots: Path | None,
) -> dict[str, Any]:
    """Lakes under the conditions of use."""
    from pipeline.evaluate.baselines import BASELINES
    from pipeline.evaluate.plots import draw
    from pipeline.evaluate.product import WorldTask, judge_world
    from pipeline.evaluate.report import summarise
    from pipeline.evaluate.tables import print_report

    ours, others = chosen(detectors, list(BASELINES))
    tasks = [WorldTask(each, label, tuple(ours), tuple(others), fdr, tuple(looks)) for label, each in worlds]
    judged = _each(workers, "evaluate")(judge_world, tasks)
    # Detectors without metadata are other detectors: their figures are not mixed.
    parts: dict[str, Any] = {}
    for bare, title, prefix in ((True, "with metadata", ""), (False, "without metadata", "no-metadata-")):
        mine = [world for world in judged if world.settings.metadata == bare]
        if mine:
            parts[title] = summarise(mine)
            console.rule(title, align="left")
            print_report(parts[title], console)
            if plots is not None:
                _told(console, draw(parts[title], plots, prefix))
    return {"protocol": "product", "fdr": fdr, **parts}


def _told(console: Console, made: Sequence[Path]) -> None:
    console.print(f"charts: {', '.join(map(str, made))}", soft_wrap=True)


def discovery(
    worlds: Worlds, detectors: Sequence[str], console: Console, *, fdr: float, workers: int
) -> dict[str, Any]:
    """Realised false discovery rates."""
    from pipeline.evaluate.discovery import run
    from pipeline.evaluate.tables import print_fdr

    found = run(worlds, our_only(detectors), fdr, _each(workers, "evaluate fdr"))
    print_fdr(found, console)
    return found


def streams(
    worlds: Sequence[EvaluationSettings], console: Console, *, workers: int, alpha: float
) -> dict[str, Any]:
    """Live looks."""
    from pipeline.evaluate.streaming import Task, stream, summarise_streams
    from pipeline.evaluate.tables import print_streams

    streamed = _each(workers, "evaluate looks")(stream, [Task(each, alpha) for each in worlds])
    found = {"protocol": "looks", **summarise_streams(streamed)}
    print_streams(found, console)
    return found


def ablation(
    worlds: Worlds, how: Fitting, console: Console, *, fdr: float, workers: int, plots: Path | None
) -> dict[str, Any]:
    """Each family of signals left out."""
    from pipeline.evaluate import refits
    from pipeline.evaluate.plots import draw_ablation
    from pipeline.evaluate.tables import print_ablation
    from pipeline.fit.labelled import WorldPlan

    fit, source = _fit(how), refits.Source(how.cache, workers)
    with reporter("evaluate ablation") as advance:
        plans = refits.fit_plans(how.worlds, how.seed, worlds[0][1].data, how.accounts)
        fitted_on = source.worlds(plans, advance, "worlds to fit on")
        settings = [each for _, each in worlds]
        judged_in = source.worlds([WorldPlan(each) for each in settings], advance, "worlds to judge")
        found = refits.ablation(
            fitted_on,
            list(zip(judged_in, settings, strict=True)),
            fit,
            fdr=fdr,
            families=how.only or None,
            report=advance,
        )
    print_ablation(found, console)
    if plots is not None:
        _told(console, draw_ablation(found, plots))
    return found


def transfer(
    what: str,
    base: EvaluationSettings,
    seeds: Sequence[int],
    how: Fitting,
    console: Console,
    *,
    fdr: float,
    workers: int,
) -> dict[str, Any]:
    """Each source or kind left out of the fit."""
    from pipeline.evaluate import refits
    from pipeline.evaluate.tables import print_transfer

    fit = _fit(how)
    with reporter("evaluate transfer") as advance:
        found = refits.transfer(
            what,
            base,
            fit,
            refits.Source(how.cache, workers),
            fit_worlds=how.worlds,
            fit_seed=how.seed,
            fit_accounts=how.accounts,
            seeds=seeds,
            fdr=fdr,
            only=how.only,
            report=advance,
        )
    print_transfer(found, console)
    return found


def _fit(how: Fitting) -> Any:
    from pipeline.evaluate.refits import forest_fit

    return forest_fit(**({} if how.trees is None else {"n_estimators": how.trees}))


def labrai(
    data: Path | None,
    detectors: Sequence[str],
    seeds: Sequence[int],
    console: Console,
    *,
    windows: int,
    sizes: Sequence[int],
    pairs: int,
    workers: int,
) -> dict[str, Any]:
    """Windows against an i.i.d. benign pool."""
    from pipeline.evaluate import labrai as protocol
    from pipeline.evaluate.tables import print_labrai

    names = list(dict.fromkeys(detectors)) or [protocol.OURS, *protocol.BASELINES]
    with reporter("evaluate labrai") as advance:
        found = protocol.run(
            data,
            names,
            seeds,
            pairs=pairs,
            count=windows,
            sizes=sizes or protocol.WINDOWS,
            workers=workers,
            report=advance,
        )
    print_labrai(found, console)
    return found


def leak(
    worlds: Sequence[EvaluationSettings], detectors: Sequence[str], clock: Clock, console: Console
) -> dict[str, Any]:
    """Whether one field or signal gives attackers away."""
    from pipeline.errors import UsageError
    from pipeline.evaluate.leak import BOUND, check_leaks
    from pipeline.evaluate.tables import print_leaks

    if not worlds:
        msg = "the leak check needs attackers; give an --attack-share above 0"
        raise UsageError(msg)
    with reporter("evaluate leak") as advance:
        leaks = check_leaks(
            worlds,
            clock,
            detector=our_only(detectors),
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
