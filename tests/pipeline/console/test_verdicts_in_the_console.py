"""From a note to a verdict in the lake: by whom, with whose approval, and what survives a stop in between."""

import re

import pytest

from pipeline.console import create_app
from pipeline.console.verdict_flow import as_verdict
from pipeline.lake import Lake
from pipeline.verdicts import read_verdicts


def verdicts(running):
    return read_verdicts(Lake.open(running.console.settings.lake).snapshot())


def opened(visitor, kind, subject):
    answer = visitor.post("/case/open", kind=kind, subject=subject)
    assert answer.status_code == 303, answer.text[:600]
    return answer.headers["location"].split("id=")[1]


def proposed(visitor, case, **more):
    fields = {"case": case, "verdict": "attack", "reason": "a list, shared out", **more}
    answer = visitor.post("/case/propose", **fields)
    assert answer.status_code == 303, answer.text[:600]
    return max(
        map(int, re.findall(r'name="proposal" value="(\d+)"', visitor.get("/case", id=case).text)), default=0
    )


def problem(answer):
    return re.search(r'role="alert">([^<]+)', answer.text)[1].replace("&#39;", "'")


def test_an_attack_takes_two(start, planted):
    running = start()
    ana, ben = running.visitor("ana", "investigator"), running.visitor("ben", "approver")
    case = opened(ana, "cluster", planted.cluster)
    proposal = proposed(ana, case)
    assert verdicts(running) == []
    assert "Waiting for a second pair" in ben.get("/cases").text
    refused = ana.post("/case/decide", proposal=proposal, outcome="approved")
    assert refused.status_code == 403
    assert verdicts(running) == []
    running.clock.advance(60)
    assert ben.post("/case/decide", proposal=proposal, outcome="approved").status_code == 303
    (verdict,) = verdicts(running)
    assert (verdict.verdict, verdict.subject_kind, verdict.subject_id) == (
        "attack",
        "cluster",
        planted.cluster,
    )
    assert (verdict.owner, verdict.case_id) == ("ana", f"case-{case}")
    assert verdict.reason == "a list, shared out (approved by ben)"
    assert frozenset(verdict.members) == planted.hydra
    # The lake went on by a manifest, and pages see it.
    running.clock.advance(3)
    page = ana.get("/case", id=case).text
    assert "attack</span> stands" in page
    assert "verdict" in ana.get("/account", id=min(planted.hydra)).text
    again = ben.post("/case/decide", proposal=proposal, outcome="approved")
    assert problem(again) == f"proposal {proposal} was approved already, by ben"


def test_an_approver_does_not_approve_alone(start, planted):
    running = start()
    ben = running.visitor("ben", "approver")
    case = opened(ben, "account", planted.alerted)
    proposal = proposed(ben, case)
    refused = ben.post("/case/decide", proposal=proposal, outcome="approved")
    assert refused.status_code == 403
    assert problem(refused) == "ben proposed this; another approver has to look at it"
    assert verdicts(running) == []
    assert ben.post("/case/decide", proposal=proposal, outcome="retracted").status_code == 303
    assert ben.post("/case/decide", proposal=proposal, outcome="retracted").status_code == 400


def test_a_rejection_says_why_and_only_the_proposer_retracts(start, planted):
    running = start()
    ana, ben = running.visitor("ana", "investigator"), running.visitor("ben", "approver")
    proposal = proposed(ana, opened(ana, "account", planted.alerted))
    assert ben.post("/case/decide", proposal=proposal, outcome="rejected").status_code == 400
    assert ben.post("/case/decide", proposal=proposal, outcome="retracted").status_code == 403
    assert ben.post("/case/decide", proposal=proposal, outcome="written").status_code == 400
    assert (
        ben.post("/case/decide", proposal=proposal, outcome="rejected", reason="too thin").status_code == 303
    )
    assert verdicts(running) == []


def test_other_verdicts_are_one_persons_and_allowing_an_approvers(start, planted):
    running = start()
    ana, ben = running.visitor("ana", "investigator"), running.visitor("ben", "approver")
    case = opened(ana, "account", planted.alerted)
    proposed(ana, case, verdict="undecided", reason="asked the customer")
    assert [each.verdict for each in verdicts(running)] == ["undecided"]
    refused = ana.post("/case/propose", case=case, verdict="allowed", reason="r", expires="2026-06-01")
    assert refused.status_code == 403
    assert (
        ben.post(
            "/allowed/add", subject=planted.alerted, reason="a university", expires="2026-06-01"
        ).status_code
        == 303
    )
    running.clock.advance(3)
    listed = ben.get("/allowed").text
    assert planted.alerted in listed
    assert "a university" in listed
    newest = verdicts(running)[0]
    assert (newest.verdict, newest.owner) == ("allowed", "ben")
    assert (
        ana.post("/case/withdraw", case=case, verdict_id=newest.verdict_id, reason="over").status_code == 403
    )
    running.clock.advance(60)
    assert (
        ben.post("/case/withdraw", case=case, verdict_id=newest.verdict_id, reason="over").status_code == 303
    )
    assert verdicts(running)[0].withdraws == newest.verdict_id


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"reason": " "}, "no reason"),
        ({"verdict": "allowed", "reason": "r"}, "needs a date"),
        ({"verdict": "allowed", "reason": "r", "expires": "2020-01-01"}, "before the lake's newest window"),
        ({"verdict": "allowed", "reason": "r", "expires": "soon"}, "write a time"),
        ({"verdict": "guilty", "reason": "r"}, "none of attack"),
        ({"alert": "alert-of-nobody", "reason": "r"}, "alert"),
    ],
)
def test_what_is_wrong_is_said_to_the_one_who_proposes(approver, shared, planted, fields, said):
    case = opened(approver, "account", planted.alerted)
    answer = approver.post("/case/propose", **{"case": case, "verdict": "attack", **fields})
    assert answer.status_code == 400
    assert said in problem(answer)
    assert shared.console.cases.proposals(case=int(case)) == []


def test_what_was_approved_is_written_at_the_next_start(start, planted, monkeypatch):
    running = start()
    ana, ben = running.visitor("ana", "investigator"), running.visitor("ben", "approver")
    proposal = proposed(ana, opened(ana, "account", planted.alerted))

    def stopped(*_arguments):
        msg = "the program stopped here"
        raise RuntimeError(msg)

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.console.verdict_flow.record", stopped)
        assert ben.post("/case/decide", proposal=proposal, outcome="approved").status_code == 500
    assert verdicts(running) == []
    again = create_app(running.console.settings, running.clock)
    (verdict,) = verdicts(running)
    assert verdict.verdict == "attack"
    assert again.console.cases.proposal(proposal).verdict_id == verdict.verdict_id
    assert again.console.flow.finish() == 0


def test_what_reached_the_lake_is_not_written_twice(start, planted, monkeypatch):
    running = start()
    ana, ben = running.visitor("ana", "investigator"), running.visitor("ben", "approver")
    proposal = proposed(ana, opened(ana, "account", planted.alerted))
    with monkeypatch.context() as patch:
        patch.setattr(
            type(running.console.cases),
            "published",
            lambda *_: (_ for _ in ()).throw(RuntimeError("stopped")),
        )
        ben.post("/case/decide", proposal=proposal, outcome="approved")
    files = Lake.open(running.console.settings.lake).snapshot().table_files("verdicts")
    assert running.console.flow.finish() == 1
    assert Lake.open(running.console.settings.lake).snapshot().table_files("verdicts") == files
    kept = running.console.cases.proposal(proposal)
    assert kept.verdict_id == as_verdict(kept).verdict_id


def test_verdicts_are_in_the_record(start, planted):
    running = start()
    ana = running.visitor("ana", "investigator")
    proposed(ana, opened(ana, "account", planted.alerted), verdict="benign", reason="asked them")
    lines = [dict(each.document) for each in running.console.queries.audit.entries()]
    (line,) = [each for each in lines if each["event"] == "verdict"]
    assert (line["who"], line["verdict"], line["outcome"]) == ("ana", "benign", "approved")
    assert running.console.queries.audit.verify().lines == len(lines)
