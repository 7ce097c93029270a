-- Verdicts on their way into the lake. One that two people must agree on waits as a proposal.
create table proposals (
  id integer primary key,
  case_id integer not null references cases (id),
  subject_kind text not null check (subject_kind in ('account', 'cluster')),
  subject_id text not null,
  -- JSON list: who belonged to a cluster when it was proposed. What two people agree on is about these.
  members text not null default '[]',
  verdict text not null check (verdict in ('attack', 'benign', 'allowed', 'undecided', 'withdrawn')),
  reason text not null check (length(trim(reason)) > 0),
  expires_at text,
  alert_id text,
  withdraws text,
  proposed_by text not null references users (name),
  proposed_at text not null
) strict;

create index proposals_by_case on proposals (case_id);

create table decisions (
  proposal_id integer primary key references proposals (id),
  outcome text not null check (outcome in ('approved', 'rejected', 'retracted')),
  reason text not null default '',
  decided_by text not null references users (name),
  decided_at text not null
) strict;

-- An approved verdict is written to the lake after the decision is on the disk; this says that it was.
create table publications (
  proposal_id integer primary key references decisions (proposal_id),
  verdict_id text not null,
  published_at text not null
) strict;

create trigger proposals_stay before update on proposals
begin select raise(abort, 'history is only ever added to'); end;

create trigger proposals_remain before delete on proposals
begin select raise(abort, 'history is only ever added to'); end;

create trigger decisions_stay before update on decisions
begin select raise(abort, 'history is only ever added to'); end;

create trigger decisions_remain before delete on decisions
begin select raise(abort, 'history is only ever added to'); end;

create trigger publications_stay before update on publications
begin select raise(abort, 'history is only ever added to'); end;

create trigger publications_remain before delete on publications
begin select raise(abort, 'history is only ever added to'); end;

-- Four eyes, held by the file itself: whatever the program does, nobody approves what they proposed as an attack, and
-- nobody but an approver approves anything that two have to agree on.
create trigger four_eyes before insert on decisions
when new.outcome = 'approved'
  and (select verdict from proposals where id = new.proposal_id) = 'attack'
  and (
    new.decided_by = (select proposed_by from proposals where id = new.proposal_id)
    or (select role from users where name = new.decided_by) <> 'approver'
  )
begin select raise(abort, 'an attack is approved by an approver who did not propose it'); end;

create trigger only_approved_is_published before insert on publications
when (select outcome from decisions where proposal_id = new.proposal_id) <> 'approved'
begin select raise(abort, 'only what was approved goes into the lake'); end;
