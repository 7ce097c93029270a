"""Charts of a run, as SVG: readable in print and without colour vision (shapes and dashes say what colours say).

Needs matplotlib, the extra ``plots``. Everything is drawn from the figures in the report's JSON, so that a chart can be drawn
again from a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    Figures = Mapping[str, Any]

# Okabe & Ito's palette: told apart with every kind of colour vision.
COLOURS = ("#000000", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#B2AA00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (7, 2, 1, 2)), (0, (2, 3)))
STYLE: dict[str, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "savefig.bbox": "tight",
    # The same figures give the same file.
    "svg.hashsalt": "distillwatch",
    "svg.fonttype": "none",
}


def draw(summary: Figures, folder: Path, prefix: str = "") -> list[Path]:
    """All charts of a product run; those whose figures are not there are left out.

    Parameters
    ----------
    summary
        From `report.summarise`.
    folder
        Is made if it is not there.
    prefix
        Of the files' names.

    Raises
    ------
    UsageError
        matplotlib is not installed.
    """
    charts: dict[str, Callable[[Any, Figures], bool]] = {
        "score-by-records": _score_by_records,
        "found": _found,
        "accused": _accused,
        "roc": _roc,
        "queue": _queue,
    }
    return _draw({name: (chart, summary) for name, chart in charts.items()}, folder, prefix)


def draw_ablation(found: Figures, folder: Path) -> list[Path]:
    """What is lost without each family of signals."""
    return _draw({"ablation": (_ablation, found)}, folder, "")


def _draw(
    charts: Mapping[str, tuple[Callable[[Any, Figures], bool], Figures]], folder: Path, prefix: str
) -> list[Path]:
    pyplot = need_matplotlib()
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name, (chart, figures) in charts.items():
        with pyplot.rc_context(STYLE):
            figure = pyplot.figure(layout="constrained")
            if chart(figure, figures):
                path = folder / f"{prefix}{name}.svg"
                figure.savefig(path, metadata={"Date": None})
                made.append(path)
            pyplot.close(figure)
    return made


def need_matplotlib() -> Any:
    """``matplotlib.pyplot``, drawing to files.

    Raises
    ------
    UsageError
        It is not installed.
    """
    try:
        import matplotlib as mpl

        mpl.use("svg")
        from matplotlib import pyplot
    except ImportError as error:
        msg = "charts need matplotlib; install it with `pip install 'distillwatch[plots]'`, or leave --plots out"
        raise UsageError(msg) from error
    return pyplot


def _score_by_records(figure: Any, summary: Figures) -> bool:
    """Small multiples: each benign class with its quartiles against the attackers' in every panel."""
    name = next(iter(summary["detectors"]))
    kinds = summary["detectors"][name]["curves"]["score_by_records"]
    benign = [kind for kind in kinds if kind != "attackers"]
    if not benign:
        return False
    columns = 4
    rows = -(-len(benign) // columns)
    figure.set_size_inches(2.3 * columns, 1.7 * rows + 0.4)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for place, axis in enumerate(axes.flat):
        if place >= len(benign):
            axis.set_axis_off()
            continue
        kind = benign[place]
        if "attackers" in kinds:
            _band(axis, kinds["attackers"], "attackers", COLOURS[1], "--", "s")
        _band(axis, kinds[kind], kind, COLOURS[2], "-", "o")
        _log_axis(axis, [float(look) for look in kinds[kind]])
        axis.tick_params(labelsize=7)
        axis.set_title(kind, fontsize=9)
    figure.supxlabel("records seen")
    figure.supylabel(f"score of {name}: median, quartiles")
    lines = axes[0, 0].get_lines()
    names = ["attackers", "the class"] if "attackers" in kinds else ["the class"]
    axes[0, 0].legend(lines, names, fontsize=7)
    return True


def _log_axis(axis: Any, places: Sequence[float]) -> None:
    """Logarithmic, with these places named in plain numbers."""
    axis.set_xscale("log")
    axis.minorticks_off()
    axis.set_xticks(places, [f"{place:g}" for place in places])


def _band(axis: Any, looks: Figures, label: str, colour: str, dash: str, marker: str) -> None:
    at = [int(look) for look in looks]
    each = list(looks.values())
    axis.plot(
        at,
        [v["median"] for v in each],
        color=colour,
        linestyle=dash,
        marker=marker,
        markersize=3,
        label=label,
    )
    low, high = [v["lower_quartile"] for v in each], [v["upper_quartile"] for v in each]
    axis.fill_between(at, low, high, color=colour, alpha=0.2, linewidth=0, label="_")


def _found(figure: Any, summary: Figures) -> bool:
    return _rates(figure, summary, "detection", "attackers found, % (95 % interval)")


def _accused(figure: Any, summary: Figures) -> bool:
    return _rates(figure, summary, "false_positives", "benign accounts accused, % (95 % interval)")


def _rates(figure: Any, summary: Figures, part: str, label: str) -> bool:
    """A row for each kind, in it a mark for each detector: our lists, then all at 1 %."""
    columns: dict[str, Figures] = {}
    for name, each in summary["detectors"].items():
        if "alert_list" in each:
            columns[f"{name}, its list"] = each["alert_list"][part]
            columns[f"{name}, clusters too"] = each["alert_list_with_clusters"][part]
    columns |= {f"{name} at 1 %": each["at_fpr"][part] for name, each in summary["detectors"].items()}
    kinds = [
        kind for kind in next(iter(columns.values())) if any(c[kind].get("of") for c in columns.values())
    ]
    if not kinds:
        return False
    figure.set_size_inches(7.5, 0.28 * len(kinds) * max(2, len(columns) / 3) + 1.2)
    axis = figure.subplots()
    step = 0.8 / len(columns)
    for number, (name, each) in enumerate(columns.items()):
        rows = [
            (place, each[kind]) for place, kind in enumerate(kinds) if each[kind].get("value") is not None
        ]
        at = [place - 0.4 + step * (number + 0.5) for place, _ in rows]
        value = [100 * v["value"] for _, v in rows]
        spread = [
            [100 * (v["value"] - v["low"]) for _, v in rows],
            [100 * (v["high"] - v["value"]) for _, v in rows],
        ]
        axis.errorbar(
            value,
            at,
            xerr=spread,
            fmt=MARKERS[number % len(MARKERS)],
            color=COLOURS[number % len(COLOURS)],
            markersize=4,
            linewidth=0.8,
            fillstyle="full" if number % 2 else "none",
            label=name,
        )
    for place in range(1, len(kinds)):
        axis.axhline(place - 0.5, color="0.9", linewidth=0.6, zorder=0)
    sizes = [next((c[kind]["of"] for c in columns.values() if c[kind].get("of")), 0) for kind in kinds]
    axis.set_yticks(range(len(kinds)), [f"{kind} ({n:,})" for kind, n in zip(kinds, sizes, strict=True)])
    axis.invert_yaxis()
    if part == "false_positives":
        axis.axvline(1.0, color="0.4", linewidth=0.8, linestyle=":")
    axis.set_xlabel(label)
    figure.legend(loc="outside lower center", ncols=3, fontsize=7)
    return True


def _roc(figure: Any, summary: Figures) -> bool:
    """Only where few are accused: the rest of the curve is no use to anybody."""

    def points(each: Figures) -> tuple[Sequence[float], Sequence[float | None]]:
        curve = each["curves"]["roc"]
        return [100 * x for x in curve["accused"]], curve["found"]

    return _lines(
        figure, summary, points, "benign accounts of a world accused, %", "attackers found, %", 20.0
    )


def _queue(figure: Any, summary: Figures) -> bool:
    def points(each: Figures) -> tuple[Sequence[float], Sequence[float | None]]:
        curve = each["curves"]["queue"]
        return [100 * x for x in curve["share"]], curve["recall"]

    return _lines(
        figure, summary, points, "accounts looked at, % of a world", "attackers among them, %", 100.0
    )


def _lines(
    figure: Any,
    summary: Figures,
    points: Callable[[Figures], tuple[Sequence[float], Sequence[float | None]]],
    x_label: str,
    y_label: str,
    most: float,
) -> bool:
    figure.set_size_inches(6.0, 4.2)
    axis = figure.subplots()
    drawn = False
    for number, (name, each) in enumerate(summary["detectors"].items()):
        x, y = points(each)
        known = [(a, 100 * b) for a, b in zip(x, y, strict=True) if b is not None and a <= most]
        if not known:
            continue
        drawn = True
        axis.plot(
            [a for a, _ in known],
            [b for _, b in known],
            color=COLOURS[number % len(COLOURS)],
            linestyle=DASHES[number % len(DASHES)],
            marker=MARKERS[number % len(MARKERS)],
            markevery=4,
            markersize=4,
            linewidth=2.0 if number == 0 else 1.1,
            label=name,
        )
    _log_axis(axis, [place for place in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if place <= most])
    axis.axvline(1.0, color="0.7", linewidth=0.8, linestyle=":")
    axis.set_ylim(-2, 102)
    axis.set_xlabel(x_label)
    axis.set_ylabel(y_label)
    axis.legend(fontsize=8, loc="upper left")
    return drawn


def _ablation(figure: Any, found: Figures) -> bool:
    rows = list(found["rows"].items())
    figure.set_size_inches(6.5, 0.3 * len(rows) + 1.0)
    axis = figure.subplots()
    series = {
        "found in the list": [row["list"]["found"] for _, row in rows],
        "found at 1 %": [row["found_at_fpr"]["all"] for _, row in rows],
        "specialists accused at 1 %": [row["specialists_at_fpr"] for _, row in rows],
    }
    for number, (label, each) in enumerate(series.items()):
        at = [place + 0.2 * (number - 1) for place in range(len(rows))]
        values = [100 * (e["value"] if e["value"] is not None else float("nan")) for e in each]
        axis.plot(
            values, at, linestyle="", marker=MARKERS[number], color=COLOURS[number], markersize=5, label=label
        )
    axis.set_yticks(range(len(rows)), [name for name, _ in rows])
    axis.invert_yaxis()
    axis.set_xlabel("%")
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    return True
