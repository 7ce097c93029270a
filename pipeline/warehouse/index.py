"""The index of the playbooks: ``python -m pipeline.warehouse.index`` writes ``sql/playbooks/README.md``."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from pipeline.warehouse.tree import SqlFile, load_tree

COMMAND = "python -m pipeline.warehouse.index"


# The value of a header's `topic`, and its heading. What names none, or another, stands at the end.
TOPICS = {
    "queue": "What to look at, and what was decided",
    "account": "One account",
    "others": "From one account to others",
    "cluster": "Clusters",
    "hunt": "Hunting without a suspect",
    "benign": "What honest traffic looks like",
    "data": "Whether the data are there",
    "indicators": "Indicators to and from others",
    "case": "Figures of a case file",
    "": "Other questions",
}


def render() -> str:
    """The index as Markdown."""
    files = load_tree()["playbooks"]
    lines = [
        "# Playbooks",
        "",
        f"Written by `{COMMAND}` from the headers of the files; change those. {len(files)} questions.",
    ]
    for topic, heading in TOPICS.items():
        chosen = [file for file in files if topic_of(file) == topic]
        if not chosen:
            continue
        lines += ["", f"**{heading}**", "", "| playbook | question |", "| --- | --- |"]
        lines += [f"| [{file.name}](#{file.name}) | {_line(file, 'question')} |" for file in chosen]
    for file in files:
        lines += ["", *_section(file)]
    return "\n".join(lines) + "\n"


def topic_of(file: SqlFile) -> str:
    """The topic that a playbook is listed under: a key of `TOPICS`."""
    topic = file.header.get("topic", "").strip()
    return topic if topic in TOPICS else ""


def _section(file: SqlFile) -> list[str]:
    call = " ".join(f"--param {p.name}=…" for p in file.parameters if p.required)
    lines = [f"## {file.name}", "", f"{_line(file, 'question')} Gives {_line(file, 'grain')}.", ""]
    lines += ["```", f"distillwatch sql --lake DIR {file.name} {call}".rstrip(), "```", ""]
    if file.parameters:
        lines += ["| parameter | type | default | |", "| --- | --- | --- | --- |"]
        lines += [
            f"| `{p.name}` | {p.type} | {'required' if p.default is None else p.default} | {p.description} |"
            for p in file.parameters
        ]
        lines.append("")
    lines += [
        f"- **{key.capitalize()}:** {_line(file, key)}"
        for key in ("detects", "does not detect", "false positives", "instead", "next step", "cost", "reads")
        if key in file.header
    ]
    return lines


def _line(file: SqlFile, key: str) -> str:
    return " ".join(file.header[key].split())


def main() -> None:
    """Write the index beside the playbooks."""
    with resources.as_file(resources.files("sql") / "playbooks") as folder:
        Path(folder, "README.md").write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
