"""An alert as text: every sentence of its evidence, whatever kind of subject it is about and whatever it lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from pipeline.alerts import Alert
    from pipeline.cli.alerts import Shown
    from pipeline.cli.prose import Prose

# What the head and the parts below say; all other evidence is printed as it is.
_SAID = {
    *("records", "population", "sentences", "against", "signals", "limits", "calibration", "look"),
    *("members", "shared", "links", "benign_explanation", "look_at"),
    # Told of now, from the verdicts that stand.
    *("verdict", "member_verdicts", "allowed_members"),
}
# Evidence comes in order of its keys; these are what a reader looks for first.
_FIRST = ("request_id", "event_time", "best_class", "membership", "fit", "second_class", "second_membership")
_FIGURES = 4


def verify_command(alert: Alert, place: str) -> str:
    """What derives an alert again."""
    return f"distillwatch verify --lake {place} --alert {alert.alert_id}"


def write_alert(
    prose: Prose,
    shown: Shown,
    verdicts: tuple[Any, Mapping[str, Any]],
    *,
    title: str,
    place: str,
    reasons: Sequence[str] | None,
) -> None:
    """Print one alert.

    Parameters
    ----------
    verdicts
        On the subject, and on members of a cluster.
    place
        The lake, as a shell takes it.
    reasons
        What does not hold; empty: it holds; None: nobody asked.
    """
    alert, said = shown.alert, shown.alert.evidence
    prose.head(title)
    for text in _head(shown):
        prose.say(text, indent=2)
    _sentences(
        prose, "What speaks for an attack (in brackets: what it adds to the score)", said.get("sentences")
    )
    _sentences(prose, "What speaks against it", said.get("against"))
    _part(
        prose,
        "Where it stands among benign accounts, and what speaks against that explanation",
        said.get("benign_explanation"),
    )
    _part(prose, "Records to look at", said.get("look_at"))
    for name, value in said.items():
        if name not in _SAID:
            _part(prose, _words(name), value)
    _verdicts(prose, *verdicts)
    prose.head("What it rests on", indent=2)
    for line in (*_provenance(alert.provenance, alert.detector), said.get("calibration"), said.get("limits")):
        if line:
            prose.say(str(line), indent=4)
    ask, about = f"distillwatch sql --lake {place}", f"--param alert_id={alert.alert_id}"
    prose.head("Go on", indent=2)
    prose.say(f"derive it again: {verify_command(alert, place)}", indent=4)
    if said.get("signals"):
        prose.say(f"all {len(said['signals'])} signals: {ask} alert_evidence {about}", indent=4)
    if said.get("look_at"):
        prose.say(f"read the records: {ask} alert_records {about}", indent=4)
    if reasons is not None:
        prose.say(
            "derived again just now: no difference" if not reasons else "derived again just now: REFUSED",
            indent=4,
        )
        for reason in reasons:
            prose.say(reason, indent=4, mark="- ")
    prose.say()


def _head(shown: Shown) -> list[str]:
    alert, said = shown.alert, shown.alert.evidence
    records, population, look = said.get("records"), said.get("population") or {}, said.get("look")
    seen = f"seen from {_time(alert.first_seen)} until {_time(alert.last_seen)}, judged as of {_time(alert.as_of)}"
    lines = [alert.alert_id, seen if records is None else f"{records:,} records, {seen}"]
    if alert.subject_kind == "cluster":
        shared, links = said.get("shared"), said.get("links")
        more = [f"they share {', '.join(map(str, shared))}"] if shared else []
        more += [f"{links:,} links between them"] if links is not None else []
        lines.append("; ".join([f"{len(alert.members):,} members: {', '.join(alert.members)}", *more]))
    judged = f"score {alert.score:.{_FIGURES}g}, p-value {alert.p_value:.2g}"
    if population:
        judged += (
            f", among the {population.get('name')} population of {population.get('accounts'):,} accounts"
        )
    if alert.fdr is not None:
        judged += f"; in a list with a false discovery rate of {alert.fdr:g}"
    lines.append(judged)
    if look:
        lines.append(
            f"raised live at the look at {look.get('records')} records, at level {look.get('level'):.2g} of the {look.get('alpha'):g} "
            "that all looks together may spend"
        )
    if not shown.in_list:
        why = (
            "the newest scoring did not judge it"
            if shown.decision is None
            else f"there the decision about it is `{shown.decision}`"
        )
        lines.append(f"not an alert of the newest scoring: {why}")
    return lines


def _sentences(prose: Prose, title: str, sentences: Sequence[str] | None) -> None:
    if sentences:
        prose.head(title, indent=2)
        for text in sentences:
            prose.say(str(text), indent=4, mark="- ")


def _part(prose: Prose, title: str, value: Any) -> None:
    if value not in (None, {}, [], ""):
        prose.head(title, indent=2)
        _tell(prose, value, 4)


def _tell(prose: Prose, value: Any, indent: int) -> None:
    """Any evidence: sentences as sentences, figures in one line, what lies deeper below its name."""
    if isinstance(value, list):
        for each in value:
            prose.say(_line(each), indent=indent, mark="- ")
        return
    if not isinstance(value, dict):
        prose.say(_figure(value), indent=indent)
        return
    if isinstance(value.get("sentence"), str):
        prose.say(value["sentence"], indent=indent)
    deep = {name: each for name, each in value.items() if isinstance(each, dict | list)}
    if flat := {name: each for name, each in value.items() if name not in deep and name != "sentence"}:
        prose.say(_line(flat), indent=indent)
    for name, each in deep.items():
        inside = each.values() if isinstance(each, dict) else each
        if each and not any(isinstance(one, dict | list) for one in inside):
            prose.say(f"{_words(name)}: {_line(each)}", indent=indent)
        elif each:
            prose.say(f"{_words(name)}:", indent=indent)
            _tell(prose, each, indent + 2)


def _line(value: Any) -> str:
    """In one line; of what has a sentence that alone, since it has the figures."""
    if isinstance(value, dict):
        if isinstance(value.get("sentence"), str):
            return str(value["sentence"])
        names = sorted(value, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))
        return ", ".join(f"{_words(name)} {_line(value[name])}" for name in names)
    if isinstance(value, list):
        return "; ".join(map(_line, value)) or "none"
    return _figure(value)


def _figure(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.{_FIGURES}g}" if isinstance(value, float) else str(value)


def _words(name: object) -> str:
    return str(name).replace("_", " ")


def _time(value: datetime | None) -> str:
    return "an unknown time" if value is None else f"{value:%Y-%m-%d %H:%M} UTC"


def _verdicts(prose: Prose, own: Any, on_members: Mapping[str, Any]) -> None:
    prose.head("What was decided", indent=2)
    if own is None and not on_members:
        prose.say("no verdict stands", indent=4)
    if own is not None:
        prose.say(_verdict(own), indent=4)
    for name, verdict in on_members.items():
        prose.say(f"{name}: {_verdict(verdict)}", indent=4, mark="- ")


def _verdict(verdict: Any) -> str:
    until = f", until {_time(verdict.expires_at)}" if verdict.expires_at else ""
    about = f" on {verdict.subject_kind} {verdict.subject_id}" if verdict.members else ""
    return (
        f"{verdict.verdict}{about}, by {verdict.owner} on {_time(verdict.decided_at)}{until}: {verdict.reason} "
        f"({verdict.verdict_id})"
    )


def _provenance(source: Mapping[str, Any], detector: str) -> list[str]:
    """In short: all of it is in the JSON."""
    vector = source.get("vector") or {}
    between = " and ".join(
        f"{word} {source[key]}" for key, word in (("start", "from"), ("stop", "before")) if source.get(key)
    )
    lines = [f"records below offset {offset:,} of {chain}" for chain, offset in sorted(vector.items())[:3]]
    if len(vector) > len(lines):
        lines.append(f"and of {len(vector) - len(lines):,} more chains")
    names = [
        f"{word} {source[key]}"
        for key, word in (
            ("manifest", "manifest"),
            ("parameters", "parameters"),
            ("reference", "reference"),
            ("groups", "cluster figures"),
            ("profile", "profile"),
            ("records", "digest of its records"),
            ("verdicts", "verdicts"),
            ("code", "code"),
        )
        if source.get(key) is not None
    ]
    first = "; ".join([*(["; ".join(lines)] if lines else []), *([f"windows {between}"] if between else [])])
    return [first, f"detector {detector} {source.get('detector', 'unknown')}; {'; '.join(names)}"]
