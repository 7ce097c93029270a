"""Figures of the benchmark as tables for people: per cent, with 95 % intervals over worlds in brackets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.evaluate.leak import BOUND
from pipeline.evaluate.report import FIRST, SIZE_EDGES, TOPS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.table import Table

    from pipeline.evaluate.leak import Leak


def _table(title: str, columns: Sequence[str], left: Sequence[str] = ("detector",)) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name, justify="left" if name in left else "right")
    return table


def percent(estimate: dict[str, Any] | None) -> str:
    """A share and its interval, in per cent."""
    if not estimate or estimate.get("value") is None or estimate.get("of") == 0:
        return "-"
    value, low, high = (100 * estimate[key] for key in ("value", "low", "high"))
    if value == 0:
        return "0"  # how sure that is, n says; the interval is in the JSON
    digits = 1 if value < 10 else 0
    return f"{value:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def print_report(summary: dict[str, Any], console: Console) -> None:
    """Tables, all detectors side by side; per cent, with 95 % intervals over worlds in brackets."""
    detectors = summary["detectors"]
    worlds = summary["worlds"]
    console.print(
        f"{len(worlds)} worlds, seeds {worlds[0]['seed']}-{worlds[-1]['seed']}; "
        f"{sum(w['records'] for w in worlds):,} records, {sum(w['accounts'] for w in worlds):,} accounts, "
        f"{sum(w['attackers'] for w in worlds):,} attackers (of them "
        f"{sum(w['attackers_with_too_few_records'] for w in worlds)} with fewer than 50 records); {worlds[0]['prompts']} prompts; "
        f"harvested: {'; '.join(' + '.join(w['harvested']) for w in worlds)}"
    )
    listing = {f"{name}, its list": d["alert_list"] for name, d in detectors.items() if "alert_list" in d}
    listing |= {
        f"{name}, clusters too": d["alert_list_with_clusters"]
        for name, d in detectors.items()
        if "alert_list" in d
    }
    at_fpr = {name: d["at_fpr"] for name, d in detectors.items()}
    counts = summary["counts"]
    _rate_table(console, "Benign accounts accused, %", "false_positives", listing | at_fpr, counts["benign"])
    _rate_table(
        console,
        "Attackers found, % (own list; others at 1 % of the benign accounts accused)",
        "detection",
        listing | at_fpr,
        counts["attacks"],
    )
    strict = {name: d["at_fpr_in_every_class"] for name, d in detectors.items()}
    _rate_table(
        console,
        "Attackers found, %, with no benign class accused above 1 %",
        "detection",
        strict,
        counts["attacks"],
    )
    _queue_table(console, detectors)
    _looks_table(console, detectors)
    _dilution_table(console, detectors)
    if len(summary["groups"]) > 1:
        _group_table(console, summary["groups"])


def _group_table(console: Console, groups: dict[str, Any]) -> None:
    names = ("AUC", "found at 1 %", "specialists at 1 %", "list: found", "list: accused", "list: specialists")
    columns = (
        *("group", "worlds", "attackers", "detector"),
        *names,
        *("false discoveries", "worst", "accusing worlds"),
    )
    table = _table("By group of worlds, %", columns, ("group", "detector"))
    for label, detectors in groups.items():
        for name, d in detectors.items():
            listed = d.get("alert_list")
            table.add_row(
                label,
                str(d["worlds"]),
                str(d["attackers"]),
                name,
                *(percent(d[key]) for key in ("auc", "detection", "specialists")),
                *(
                    percent(listed[key]) if listed else "-"
                    for key in ("detection", "false_positives", "specialists", "false_discovery")
                ),
                f"{100 * listed['worst_false_discovery']:.0f}" if listed else "-",
                f"{listed['worlds_that_accuse']['count']} of {d['worlds']}" if listed else "-",
            )
    console.print(table)


def _rate_table(
    console: Console, title: str, part: str, columns: dict[str, Any], counts: dict[str, int]
) -> None:
    table = _table(title, ("kind", "n", *columns), ("kind",))
    rows = list(next(iter(columns.values()))[part])
    for row in rows:
        total = columns[next(iter(columns))][part][row].get("of") or counts.get(row, 0)
        table.add_row(row, f"{total:,}", *(percent(each[part][row]) for each in columns.values()))
    console.print(table)


def _queue_table(console: Console, detectors: dict[str, Any]) -> None:
    columns = (
        "detector",
        "AUC",
        *(f"in top {share:.0%}" for share in TOPS),
        f"first {FIRST}",
        "campaigns",
        "false discoveries",
        "worst",
        "thin members",
        "clusters: attacking, benign",
        "s a world",
    )
    table = _table("The queue, %", columns)
    for name, d in detectors.items():
        listed = d.get("alert_list")
        worst = listed and listed["worst_false_discovery"]
        table.add_row(
            name,
            percent(d["auc"]),
            *(percent(d["recall_in_top"][str(share)]) for share in TOPS),
            percent(d[f"precision_of_first_{FIRST}"]),
            percent(listed["campaigns"] if listed else d["campaigns_at_fpr"]),
            percent(listed["false_discovery"]) if listed else "-",
            f"{100 * worst:.0f}" if worst is not None else "-",
            percent(d["alert_list_with_clusters"]["members_with_too_few_records"]) if listed else "-",
            "{attacking}, {benign}".format(**d["clusters"]) if listed else "-",
            f"{d['seconds']['value']:.1f}",
        )
    console.print(table)


def _looks_table(console: Console, detectors: dict[str, Any]) -> None:
    looks = sorted({look for d in detectors.values() for look in d["looks"]["detection"]}, key=int)
    sizes = [str(edge) for edge in SIZE_EDGES]
    columns = (
        "detector",
        *(f"has {size}+" for size in sizes),
        *(f"first {look}" for look in looks),
        *(
            ["records until found", "until listed", "ever listed: found", "accused", "false discoveries"]
            if looks
            else []
        ),
    )
    title = "Attackers found at 1 % of the benign accounts accused, %: by how many records they have, by their first records"
    table = _table(title, columns)
    for name, d in detectors.items():
        table.add_row(
            name,
            *(percent(d["detection_by_records"][size]) for size in sizes),
            *(percent(d["looks"]["detection"].get(look)) for look in looks),
            *(_until(d["looks"]) if looks else []),
            *(_ever(d["looks"]["listed_at_any"]) if looks else []),
        )
    console.print(table)


def _until(looks: dict[str, Any]) -> list[str]:
    """Records until an attacker was found at 1 %, and until it was listed: median and quartiles."""
    half, ends = looks["median_records_of_those_found"], looks["quartiles_of_records_of_those_found"]
    found = f"{half:.0f} ({ends[0]:.0f}-{ends[1]:.0f})" if half is not None else "-"
    when = looks["records_until_listed"]
    if not when or not when["found"]:
        return [found, "-"]
    return [found, "{median:.0f} ({lower_quartile:.0f}-{upper_quartile:.0f})".format(**when)]


def _ever(listed: dict[str, Any] | None) -> list[str]:
    names = ("detection", "false_positives", "false_discovery")
    return [percent(listed[name]) if listed else "-" for name in names]


def _dilution_table(console: Console, detectors: dict[str, Any]) -> None:
    """Share of the harvest in the account against its records: our list, others at 1 %."""
    shown = {
        (f"{name}, its list" if "alert_list" in d else f"{name} at 1 %"): d.get("alert_list", d)[
            "detection_by_dilution"
        ]
        for name, d in detectors.items()
    }
    sizes = ("all", *map(str, SIZE_EDGES))
    columns = ("detector", "harvest", "n", *(size if size == "all" else f"has {size}+" for size in sizes))
    table = _table(
        "Attackers found, %, by the share of harvest in their records", columns, ("detector", "harvest")
    )
    for name, each in shown.items():
        for share, by_size in each.items():
            if by_size["all"]["of"]:
                table.add_row(name, share, str(by_size["all"]["of"]), *(percent(by_size[s]) for s in sizes))
    if table.row_count:
        console.print(table)


def print_fdr(found: dict[str, Any], console: Console) -> None:
    """Realised against nominal, a row for each base rate and reference."""
    columns = (
        *("worlds", "reference", "n", "attackers", "listed", "false discoveries", "pooled", "worst"),
        *("accusing worlds", "accused", "specialists accused", "found"),
    )
    title = f"{found['detector']}: false discoveries where {found['nominal']:.0%} was promised, %"
    table = _table(title, columns, ("worlds", "reference"))
    for label, group in found["groups"].items():
        for way, each in group.items():
            if not isinstance(each, dict):
                continue
            table.add_row(
                label,
                way,
                str(group["worlds"]),
                str(group["attackers"]),
                str(each["listed"]),
                percent(each["false_discovery"]),
                percent(each["false_discovery_pooled"]),
                f"{100 * each['worst_false_discovery']:.0f}",
                f"{each['worlds_that_accuse']['count']} of {group['worlds']}",
                percent(each["accused"]),
                percent(each["specialists_accused"]),
                percent(each["found"]),
            )
    console.print(table)


def print_streams(found: dict[str, Any], console: Console) -> None:
    """Ever accused and ever found, the schedule beside the naive way."""
    schedules = found["schedules"]
    console.print(
        f"{len(found['worlds'])} worlds, {sum(w['records'] for w in found['worlds']):,} records; level {found['alpha']:.2%} for each account"
    )
    for part, title in (
        ("accused", "Benign accounts ever accused live, %"),
        ("found", "Attackers ever found live, %"),
    ):
        table = _table(title, ("kind", "n", *schedules), ("kind",))
        first = next(iter(schedules.values()))[part]
        for kind, each in first.items():
            if each["of"]:
                table.add_row(kind, f"{each['of']:,}", *(percent(s[part][kind]) for s in schedules.values()))
        console.print(table)
    for name, each in schedules.items():
        when = each["records_when_found"]
        told = "{1:.0f} ({0:.0f}-{2:.0f})".format(*when) if when else "-"
        console.print(
            f"{name}: records when found {told}; false alarms {_against_level(each, found['alpha'])}",
            soft_wrap=True,
        )


def _against_level(each: dict[str, Any], alpha: float) -> str:
    accused = each["accused"]["all"]
    if accused.get("value") is None:
        return "not measured: no benign account has 50 records"
    share = "{:.2%} (interval {:.2%} to {:.2%})".format(*(accused[key] for key in ("value", "low", "high")))
    verdict = {
        "within": f"within the level of {alpha:.2%}: {share}",
        "above": f"ABOVE the level of {alpha:.2%}: {share}",
    }
    side, end = ("below", "upper end above") if accused["value"] <= alpha else ("above", "lower end below")
    return verdict.get(
        each["bound"],
        f"NOT TOLD APART from the level of {alpha:.2%}: {share}, the value is {side} it and the interval's {end}; more "
        "worlds would tell",
    )


def print_ablation(found: dict[str, Any], console: Console) -> None:
    """One row for the full detector and for each family left out."""
    columns = (
        *("detector", "signals", "AUC", "found at 1 %", "no class above 1 %", "specialists at 1 %"),
        *("in top 1 %", "list: found", "list: accused", "list: specialists", "false discoveries"),
    )
    title = f"Refitted without each family of signals, %; {found['attackers']} attackers, {found['benign']:,} others"
    table = _table(title, columns)
    for label, row in found["rows"].items():
        table.add_row(label, str(row["signals"]), *_short_row(row))
    console.print(table)


def print_transfer(found: dict[str, Any], console: Console) -> None:
    """One row for each source or kind that the fit had not seen."""
    columns = (
        *("left out", "attackers", "AUC", "found at 1 %", "no class above 1 %", "specialists at 1 %"),
        *("in top 1 %", "list: found", "list: accused", "list: specialists", "false discoveries"),
        *(["kind: list", "kind at 1 %"] if found["left_out"] == "kind" else []),
    )
    table = _table(f"Refitted without the {found['left_out']} that is judged, %", columns, ("left out",))
    for name, row in found["rows"].items():
        kind = row.get("accused_of_kind")
        mine = [percent(kind["list"]), percent(kind["at_fpr"])] if kind else ["-", "-"]
        table.add_row(
            name, str(row["attackers"]), *_short_row(row), *(mine if found["left_out"] == "kind" else [])
        )
    console.print(table)
    listed = {name: row["list"] for name, row in found["rows"].items()}
    what = f"a column for each {found['left_out']} left out of the fit"
    accused, by_kind = (
        {name: each[key] for name, each in listed.items()} for key in ("accused", "found_by_kind")
    )
    _by_kind(console, f"Benign accounts in the list, %, by class; {what}", accused)
    _by_kind(console, f"Attackers in the list, %, by kind; {what}", by_kind)


def _by_kind(console: Console, title: str, rates: dict[str, dict[str, Any]]) -> None:
    """A row for each class or kind and a column for each fit: count of accounts, and the share of them in per cent.

    Intervals are in the JSON. What no fit was judged on is left out.
    """
    kinds = sorted(
        {kind for each in rates.values() for kind, rate in each.items() if rate.get("of")} - {"all"}
    )
    table = _table(title, ("class or kind", *rates), ("class or kind",))
    for kind in ["all", *kinds]:
        table.add_row(kind, *(_counted(each.get(kind)) for each in rates.values()))
    console.print(table)


def _counted(rate: dict[str, Any] | None) -> str:
    if not rate or not rate.get("of"):
        return "-"
    return f"{100 * rate['value']:.1f} ({rate['count']:,}/{rate['of']:,})"


def _short_row(row: dict[str, Any]) -> list[str]:
    listed = row["list"]
    every = (
        row["auc"],
        row["found_at_fpr"]["all"],
        row["found_no_class_above"],
        row["specialists_at_fpr"],
        row["recall_in_top"]["0.01"],
        listed["found"],
        listed["accused"]["all"],
        listed["accused"]["specialists"],
        listed["false_discovery"],
    )
    return [percent(each) for each in every]


def print_labrai(found: dict[str, Any], console: Console) -> None:
    """One table per window size: false-positive rate, then detection at each mix."""
    for size, detectors in found["table"].items():
        groups = list(next(iter(detectors.values())))
        title = f"LabRAI's protocol, windows of {size} records, {found['pairs']} pairs, {len(found['seeds'])} seeds: windows alarmed, %"
        table = _table(title, ("detector", "benign windows", *groups))
        for name, each in detectors.items():
            table.add_row(name, f"{each['benign']['of']:,}", *(percent(each[group]) for group in groups))
        console.print(table)


def print_leaks(leaks: Sequence[Leak], console: Console, most: int = 15) -> None:
    """The worst numbers, and the verdict."""
    table = _table(
        "What separates most by itself",
        ("number", "kind", "area", "attackers have"),
        ("number", "kind", "attackers have"),
    )
    for leak in leaks[:most]:
        table.add_row(leak.what, leak.kind, f"{leak.area:.3f}", "more" if leak.higher else "less")
    console.print(table)
    failing = [leak.what for leak in leaks if leak.fails]
    fields = sum(leak.kind == "field" for leak in leaks)
    verdict = f"LEAK: {', '.join(failing)}" if failing else "no leak"
    console.print(f"{verdict}; {fields} numbers of fields and {len(leaks) - fields} signals, bound {BOUND}")
