"""From a note to a verdict in the lake: by whom, with whose approval, and what survives a stop in between."""

import re
from datetime import datetime, timedelta

import pyarrow.parquet as pq
import pytest

from pipeline.console import create_app
from pipeline.console.verdict_flow import as_verdict, takes_two
from pipeline.errors import UsageError
from pipeline.lake import Lake
from pipeline.verdicts import Verdict, read_verdicts, record


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


# What two agreed on, one does not undo ---------------------------------------------------------------------

LATER = datetime(2026, 6, 1)
SAID = ("attack", "allowed", "benign", "undecided")


def subjects(running, count):
    snapshot = Lake.open(running.console.settings.lake).snapshot()
    (path,) = snapshot.table_files("account_scores")
    return sorted(pq.read_table(path, columns=["account_id"])["account_id"].to_pylist())[:count]


def stands(running, verdict, subject, **more):
    """A verdict that stands since before anybody looked."""
    now = running.clock.now().replace(tzinfo=None) - timedelta(hours=1)
    expires = LATER if verdict == "allowed" else None
    made = Verdict("account", subject, verdict, "as it was", "zoe", now, expires, **more)
    record(Lake.open(running.console.settings.lake), [made])
    return made


@pytest.mark.parametrize("standing", [None, *SAID])
def test_whatever_overrules_an_attack_or_an_allowance_takes_two(start, standing):
    running = start()
    flow, cases = running.console.flow, running.console.cases
    for name, role in (("ana", "investigator"), ("ben", "approver"), ("eve", "approver")):
        running.console.users.add(name, role)
    ana, ben, eve = (running.console.users.named(name) for name in ("ana", "ben", "eve"))
    new = [*SAID, "withdrawn"] if standing else list(SAID)
    for subject, verdict in zip(subjects(running, len(new)), new, strict=True):
        before = stands(running, standing, subject) if standing else None
        written = len(verdicts(running))
        case = cases.open("account", subject, "", "ana")
        running.clock.advance(60)
        # An allowance is proposed by an approver; who is one does not thereby count twice.
        who = ben if verdict == "allowed" else ana
        if verdict == "withdrawn":
            done = flow.withdraw(case, who, before.verdict_id, "wrong")
        else:
            expires = datetime(2026, 7, 1) if verdict == "allowed" else None
            done = flow.propose(case, who, verdict=verdict, reason="looked again", expires_at=expires)
        two = verdict == "attack" or standing in {"attack", "allowed"}
        assert (done.outcome is None) == done.needs_two == two, (standing, verdict)
        if two:
            assert len(verdicts(running)) == written, (standing, verdict)
            running.console.users.set_role(who.name, "approver")
            with pytest.raises(UsageError, match="another approver has to look at it"):
                flow.decide(done.id, running.console.users.named(who.name), "approved")
            with pytest.raises(UsageError, match="approver who did not propose it"):
                cases.decide(done.id, "approved", who.name)
            running.console.users.set_role("ana", "investigator")
            if who is not ana:
                with pytest.raises(UsageError, match="approving takes an approver"):
                    flow.decide(done.id, ana, "approved")
            done = flow.decide(done.id, eve, "approved")
        newest = verdicts(running)[0]
        assert len(verdicts(running)) == written + 1
        assert newest.verdict_id == done.verdict_id
        assert newest.verdict == verdict
        assert newest.reason.endswith("(approved by eve)") == two


def test_an_attack_on_a_cluster_is_not_undone_member_by_member(start, planted):
    running = start()
    ana, ben = running.visitor("ana", "investigator"), running.visitor("ben", "approver")
    proposal = proposed(ana, opened(ana, "cluster", planted.cluster))
    ben.post("/case/decide", proposal=proposal, outcome="approved")
    running.clock.advance(60)
    member = min(planted.hydra)
    case = opened(ana, "account", member)
    page = ana.get("/case", id=case).text
    assert "whatever overrules it or takes it back waits for an approver beside you" in page
    assert page.count("needs an approver beside you") == 3
    second = proposed(ana, case, verdict="undecided", reason="asked the customer")
    assert [each.verdict for each in verdicts(running)] == ["attack"]
    assert "changes where an attack or an allowance stands" in ben.get("/case", id=case).text
    assert ben.post("/case/decide", proposal=second, outcome="approved").status_code == 303
    assert verdicts(running)[0].verdict == "undecided"


def test_an_attack_is_taken_back_by_two_and_once(start, planted):
    running = start()
    ana, ben, eve = (
        running.visitor(name, role)
        for name, role in (("ana", "investigator"), ("ben", "approver"), ("eve", "approver"))
    )
    attack = stands(running, "attack", planted.alerted)
    case = opened(ana, "account", planted.alerted)
    asked = {"case": case, "verdict_id": attack.verdict_id, "reason": "wrong account"}
    for who in (ana, ben):
        assert who.post("/case/withdraw", **asked).status_code == 303
    running.clock.advance(3)
    page = eve.get("/case", id=case).text
    assert page.count("Takes back") == 2
    assert [each.verdict for each in verdicts(running)] == ["attack"]
    second, first = running.console.cases.proposals(case=int(case))
    assert ben.post("/case/decide", proposal=second.id, outcome="approved").status_code == 403
    running.clock.advance(60)
    assert ben.post("/case/decide", proposal=first.id, outcome="approved").status_code == 303
    assert [each.withdraws for each in verdicts(running)] == [attack.verdict_id, None]
    late = eve.post("/case/decide", proposal=second.id, outcome="approved")
    assert late.status_code == 400
    assert "was withdrawn already" in problem(late)
    assert running.console.cases.proposal(second.id).outcome is None


def test_an_allowance_over_an_attack_waits_and_the_case_says_so(start, planted):
    running = start()
    ben, eve = running.visitor("ben", "approver"), running.visitor("eve", "approver")
    stands(running, "attack", planted.alerted)
    answer = ben.post("/allowed/add", subject=planted.alerted, reason="a university", expires="2026-06-01")
    assert answer.headers["location"] == "/case?id=1"
    (waiting,) = running.console.cases.proposals(waiting=True)
    assert [each.verdict for each in verdicts(running)] == ["attack"]
    assert ben.post("/case/decide", proposal=waiting.id, outcome="approved").status_code == 403
    assert eve.post("/case/decide", proposal=waiting.id, outcome="approved").status_code == 303
    assert verdicts(running)[0].verdict == "allowed"


def test_an_allowance_that_ran_out_while_it_waited_is_not_approved(start, planted, monkeypatch):
    running = start()
    ben, eve = running.visitor("ben", "approver"), running.visitor("eve", "approver")
    stands(running, "attack", planted.alerted)
    ben.post("/allowed/add", subject=planted.alerted, reason="a university", expires="2026-06-01")
    monkeypatch.setattr("pipeline.console.verdict_flow.last_window_end", lambda *_: LATER)
    late = eve.post("/case/decide", proposal=1, outcome="approved")
    assert late.status_code == 400
    assert "would have expired" in problem(late)
    assert [each.verdict for each in verdicts(running)] == ["attack"]


def test_what_was_approved_and_is_not_written_yet_is_not_overruled_by_one(start, planted, monkeypatch):
    running = start()
    ana, ben = running.visitor("ana", "investigator"), running.visitor("ben", "approver")
    case = opened(ana, "account", planted.alerted)
    proposal = proposed(ana, case)

    def stopped(*_arguments):
        msg = "the disk is full"
        raise RuntimeError(msg)

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.console.verdict_flow.record", stopped)
        assert ben.post("/case/decide", proposal=proposal, outcome="approved").status_code == 500
    running.clock.advance(60)
    proposed(ana, case, verdict="benign", reason="asked them")
    assert verdicts(running) == []
    assert running.console.flow.finish() == 1
    assert [each.verdict for each in verdicts(running)] == ["attack"]


def test_two_are_needed_for_whoever_it_changes():
    def said(verdict, hour, subject=("account", "a"), members=(), **more):
        expires = datetime(2026, 1, 1, 12) if verdict == "allowed" else None
        at = datetime(2026, 1, 1, hour)
        return Verdict(*subject, verdict, "r", "zoe", at, expires, members=members, **more)

    def back(verdict, hour):
        return said("withdrawn", hour, verdict.subject, withdraws=verdict.verdict_id)

    attack, benign, allowed = said("attack", 1), said("benign", 2), said("allowed", 2)
    one, other = ("cluster", "c-1"), ("cluster", "c-2")
    caught = said("attack", 1, one, ("a", "b"))
    # An old attack comes back by two: nobody alone decides that it holds again.
    assert takes_two(back(benign, 3), [attack, benign], None)
    assert not takes_two(back(benign, 3), [benign], None)
    # Overruled long ago, and still what two had agreed on.
    assert takes_two(back(attack, 3), [attack, benign], None)
    # Another cluster with a member of the caught one, the newer word goes first; and one without any.
    assert takes_two(said("benign", 3, other, ("b", "x")), [caught], None)
    assert not takes_two(said("benign", 3, other, ("x", "y")), [caught], None)
    # A member with a word of its own is not touched by what is said of its cluster.
    assert not takes_two(
        said("benign", 3, other, ("b",)), [caught, said("benign", 2, ("account", "b"))], None
    )
    # An allowance that has expired binds nobody any more.
    assert takes_two(said("undecided", 3), [allowed], datetime(2026, 1, 1, 11))
    assert not takes_two(said("undecided", 3), [allowed], datetime(2026, 1, 1, 12))


def test_the_same_proposal_sent_twice_is_one_while_it_waits(start, planted):
    running = start()
    ana, ben = running.visitor("ana", "investigator"), running.visitor("ben", "approver")
    case = opened(ana, "account", planted.alerted)
    first = proposed(ana, case)
    running.clock.advance(1)
    assert proposed(ana, case) == first
    assert len(running.console.cases.proposals(case=int(case))) == 1
    # Another reason is another proposal, and so is another person's.
    assert proposed(ana, case, reason="and the networks") != first
    assert proposed(ben, case) not in {0, first}
    assert len(running.console.cases.proposals(waiting=True)) == 3
    ana.post("/case/decide", proposal=first, outcome="retracted")
    again = proposed(ana, case)
    assert again > first
    assert running.console.cases.proposal(again).outcome is None
