"""A case in Python: questions, profiles and charts of one lake.

Read it with ``marimo edit docs/notebooks/a_case_in_python.py -- --lake DIR``, or run it as a script:
``python docs/notebooks/a_case_in_python.py --lake DIR [--subject ID] [--figures DIR]``.
It needs marimo, which no extra of distillwatch brings: ``pip install 'distillwatch[investigate]' marimo``.
"""

import marimo

app = marimo.App(width="medium", app_title="A case in Python")


@app.cell
def _():
    from pathlib import Path

    import marimo as mo

    from pipeline.investigate import open_lake

    given = mo.cli_args()
    if not given.get("lake"):
        message = "which lake? give its folder with --lake DIR"
        raise SystemExit(message)
    # Every question is recorded with this name, in DIR/audit/queries.jsonl.
    lake = open_lake(str(given.get("lake")), who=str(given.get("who") or "notebook"))
    return Path, given, lake, mo


@app.cell
def _(mo):
    mo.md(
        """
        # A case in Python

        Questions in SQL go through the session of `distillwatch sql`: a confined process that reads one snapshot and can
        write nothing. Answers are Arrow tables; `to_pylist()` and `to_pydict()` are theirs (`to_pandas()`, too, where pandas
        is installed). This notebook itself, and the profiles further down, are run by your own process, which may do what
        you may; that profiles were read stands in the audit record like a query.
        """
    )


@app.cell
def _(given, lake, mo):
    alerts = lake.ask(
        "select subject_kind, subject_id, len(members) as accounts, score, p_value from alerts "
        "order by subject_kind desc, p_value, subject_id"
    )
    mo.stop(not alerts.num_rows, mo.md("This lake has no alerts: run `distillwatch score` first."))
    subject = str(given.get("subject") or alerts["subject_id"][0].as_py())
    print(f"{alerts.num_rows} alerts; the case is about {subject}")
    mo.ui.table(alerts.to_pylist())
    return alerts, subject


@app.cell
def _(lake, subject):
    # Everything that the case file shows, from the same playbooks.
    case = lake.case(subject)
    for figure in case.figures.values():
        print(f"{figure.title}: {figure.caption}")
    return (case,)


@app.cell
def _(case):
    case.figure("coverage").draw()


@app.cell
def _(case):
    case.figure("prompts").draw()


@app.cell
def _(mo):
    mo.md(
        """
        ## Profiles add up

        A profile is integers: accounts add, and what was added can be taken away again. So a cluster is read like one account.
        """
    )


@app.cell
def _(case, lake):
    from pipeline import readings
    from pipeline.profiles import Profiles

    members = list(case.subject.accounts)
    windows = lake.profiles(members)
    each = windows.by_account()
    whole = lake.merged(members)
    assert int(whole.records[0]) == int(each.records.sum())
    rows = zip(each.account_id, each.records, each.askable["topic_count"], strict=True)
    for name, records, topics in list(rows)[:20]:
        print(f"{name}: {records} records on {(topics > 0).sum()} topics")
    if len(members) > 20:
        print(f"and {len(members) - 20:,} more")
    print(
        f"together: {whole.records[0]} records, effective rank {readings.effective_rank(whole)[0]:.1f}, "
        f"entropy of topics {readings.topic_entropy(whole)[0]:.2f} nats"
    )
    # Without its first account the cluster is that much smaller, bit for bit.
    first = each.take(slice(0, 1)).replace_keys(whole.account_id, whole.window_start)
    rest = Profiles.subtract(whole, first)
    print(f"without {each.account_id[0]}: {rest.records.sum()} records")


@app.cell
def _(Path, case, given, lake):
    if given.get("figures"):
        folder = Path(str(given.get("figures")))
        folder.mkdir(parents=True, exist_ok=True)
        for drawn in case.figures.values():
            if drawn.is_drawn:
                drawn.draw().savefig(folder / f"{drawn.name}.svg")
    lake.close()


if __name__ == "__main__":
    app.run()
