"""The case file as a page: nothing leaves it, nothing of a lake becomes markup, and it can be checked."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.casefile import case_document, check, render
from pipeline.casefile.document import quoted
from pipeline.casefile.summary import _rarity
from pipeline.errors import UsageError
from pipeline.investigate import open_lake
from pipeline.investigate.drawing import shown
from pipeline.investigate.figures import FIGURES

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.investigate import Case

VOID = {"meta", "link", "br", "img", "input", "hr"}
HOSTILE = "<script>alert('x')</script>&\"'$x^2$\u202eabc\x07{{ 7*7 }}</title></style>"


class Reader(HTMLParser):
    """Elements, their attributes, and whether all are closed."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1:] == [tag], f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in {"script", "style"}:
            self.text.append(data)


def test_nothing_in_it_leads_outside(page: str) -> None:
    elements = Reader(page).elements
    for tag, attributes in elements:
        assert tag not in {"iframe", "object", "embed", "img", "form", "base", "video", "audio"}
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in {"href", "src", "xlink:href", "action", "data"}:
                assert value is not None
                assert value.startswith("#") or (tag, value) == ("link", "data:,")
    scripts = [attributes for tag, attributes in elements if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "case-data"}]
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert not re.search(r"https?://", page.partition('id="case-data"')[0])
    (policy,) = (a["content"] for t, a in elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "script-src" not in policy


def test_every_element_is_closed_and_every_id_is_there_once_and_is_found(page: str) -> None:
    reader = Reader(page)
    assert reader.open == []
    ids = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = {
        str(value)[1:]
        for _, attributes in reader.elements
        for name, value in attributes.items()
        if name in {"href", "xlink:href"} and str(value).startswith("#")
    }
    wanted |= {name for _, a in reader.elements for name in (a.get("aria-labelledby") or "").split()}
    assert wanted <= set(ids)


def test_every_figure_has_words_a_drawing_its_numbers_and_its_sql(page: str, hydra: Case) -> None:
    assert list(hydra.figures) == list(FIGURES)
    for name, figure in hydra.figures.items():
        assert figure.is_drawn, f"{name} has nothing to show of a planted hydra"
        assert figure.rows
        assert figure.caption.endswith((".", "?"))
        assert f'id="figure-{name}-svg"' in page
        for asked in figure.asked:
            assert f'href="#sql-{asked.playbook}"' in page
    for asked in hydra.answers.values():
        assert asked.digest in page
    assert len(re.findall(r"<svg ", page)) == len(FIGURES)
    assert len(re.findall(r"<desc ", page)) == len(FIGURES)


def test_the_summary_says_how_many_benign_ones_look_so_and_what_speaks_against(
    hydra: Case, account: Case
) -> None:
    for case in (hydra, account):
        said = case_document(case)["summary"]
        assert "of 1" in " ".join(said["sure"])
        assert "false discovery rate" in " ".join(said["sure"])
        assert said["benign"]
        assert said["against"]
        assert "no text" in " ".join(said["limits"])
    assert "fits best" in case_document(account)["summary"]["benign"][0]
    assert f"consists of {len(hydra.subject.accounts)} accounts" in case_document(hydra)["summary"]["seen"][0]


@pytest.mark.parametrize(
    "p_value", [10.0**-tenth for tenth in range(13)] + [0.0222, 0.56, 0.097, 9.96e-4, 1.2345e-7]
)
def test_rarity_is_said_in_plain_numbers(hydra: Case, account: Case, p_value: float) -> None:
    population = {"accounts": 5593, "name": "lake"}
    for case in (hydra, account):
        said = " ".join(_rarity(case, p_value, population))
        assert not re.search(r"\de[+-]?\d|\d{4}|\N{MULTIPLICATION SIGN}", said), said
    assert re.search(r"of 10,000 benign accounts, [\d,.]+\.|less than 0\.001", said)


def test_the_key_sentence_counts_as_people_do(account: Case) -> None:
    said = _rarity(account, 1 / 45, {"accounts": 250_000, "name": "lake"})
    assert said[0] == "About 1 in 45 benign accounts looks so: of 10,000 benign accounts, 220."
    assert "5,600 of them would be expected" in said[1]
    # Two digits of a small chance are the same two digits of a count.
    assert "of 10,000 benign accounts, 5,600." in _rarity(account, 0.56, None)[0]


def test_a_decision_is_said_in_words(planted, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with open_lake(planted.lake, who="t", audit=tmp_path / "a.jsonl") as lake:
        (found,) = lake.ask(
            "select account_id from account_scores where decision = 'cannot_tell' and p_value is not null "
            "and account_id not in (select subject_id from alerts) order by p_value limit 1"
        ).to_pylist()
        case = lake.case(found["account_id"])
    page = render(case_document(case))
    before = page.partition('id="annex"')[0]
    assert "cannot_tell" not in before
    assert "cannot tell: p = " in case_document(case)["summary"]["sure"][0]
    assert "decision: cannot tell." in case.figure("looks").caption


def test_decisions_of_members_are_said_in_words(page: str) -> None:
    before = page.partition('id="annex"')[0]
    assert ">cannot tell</td>" in before
    assert "cannot_tell" not in before


def test_the_same_lake_gives_the_same_bytes_wherever_it_lies_and_whoever_asks(
    lake: Path, page: str, hydra: Case
) -> None:
    with open_lake(lake, who="somebody else", case="another", threads=1) as investigation:
        again = render(case_document(investigation.case(hydra.subject.subject_id)))
    assert again == page


def test_what_is_written_into_it_is_written_and_nothing_else_changes(hydra: Case) -> None:
    named = case_document(hydra, prepared_by="M. Weber", case_id="C-1", dated="1 February 2026")
    plain = case_document(hydra)
    changed = {key for key in plain if plain[key] != named[key]}
    assert changed == {"prepared_by", "case_id", "dated", "commands"}
    assert "--prepared-by 'M. Weber' --case C-1" in named["commands"]["again"]
    page = render(named)
    assert "Prepared by M. Weber, 1 February 2026." in page


def test_its_data_has_the_digest_it_states(page: str) -> None:
    data = re.search(r'id="case-data">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    digest = hashlib.sha256(data[1].encode()).hexdigest()
    assert f'content="{digest}"' in page
    assert json.loads(data[1])["format"] == 1


@pytest.mark.parametrize(
    ("what", "old", "new", "said"),
    [
        ("the data", '"kind":"cluster"', '"kind":"account"', "it was altered"),
        (
            "the page alone",
            "This is evidence, not proof.",
            "This is proof.",
            "the page is not what its document gives",
        ),
        ("a drawing", 'id="figure-looks-axes_1"', 'id="figure-looks-axes_9"', "the page is not what"),
    ],
)
def test_whoever_alters_it_is_found_out(
    what: str, old: str, new: str, said: str, page: str, tmp_path: Path
) -> None:
    del what
    file = tmp_path / "case.html"
    file.write_text(page)
    assert check(file).differences == ()
    assert old in page
    file.write_text(page.replace(old, new, 1))
    (difference,) = check(file).differences
    assert said in difference


@pytest.mark.parametrize(
    "content", [b"", b"<html></html>", b"\xff\xfe", b'<meta name="case-data-sha256" content="x">']
)
def test_what_is_no_case_file_is_said_to_be_none(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "other.html"
    file.write_bytes(content)
    with pytest.raises(UsageError, match="case file"):
        check(file)


def _replaced(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(each, old, new) for key, each in value.items()}
    if isinstance(value, list):
        return [_replaced(each, old, new) for each in value]
    return value.replace(old, new) if isinstance(value, str) else value


def test_a_command_names_a_hostile_subject_letter_by_letter() -> None:
    word = quoted(HOSTILE)
    assert shown(word, 1000) == word
    said = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True).stdout
    assert said.decode() == HOSTILE
    assert quoted("acct-1") == "acct-1"


@pytest.mark.parametrize("which", ["subject", "member", "model", "network"])
def test_what_comes_from_a_lake_stays_text(which: str, hydra: Case, page: str) -> None:
    document = case_document(hydra)
    known = {
        "subject": hydra.subject.subject_id,
        "member": hydra.subject.accounts[0],
        "model": hydra.rows("case_parameters")[0]["model"],
        "network": hydra.rows("case_networks")[0]["value"],
    }[which]
    ours = {tag for tag, _ in Reader(page).elements}
    altered = _replaced(document, known, HOSTILE)
    altered["commands"] = _replaced(document["commands"], known, quoted(HOSTILE))
    page = render(altered)
    reader = Reader(page)
    assert reader.open == []
    assert [tag for tag, _ in reader.elements].count("script") == 1
    assert {tag for tag, _ in reader.elements} == ours
    visible = "".join(reader.text)
    assert "<script>alert('x')" in visible
    assert "{{ 7*7 }}" in visible
    assert "\u202e" not in page
    assert "\x07" not in page
    json.loads(page.partition('id="case-data">')[2].partition("</script>")[0])
