-- What waits for a second person: not only an attack, also whatever takes back or overrules an attack or an allowance.
-- 1 since it was proposed; an attack that an earlier version proposed has 0 and is held by the trigger `four_eyes`.
alter table proposals add column needs_two integer not null default 0 check (needs_two in (0, 1));

create trigger second_person before insert on decisions
when new.outcome = 'approved'
  and (select needs_two from proposals where id = new.proposal_id) = 1
  and (
    new.decided_by = (select proposed_by from proposals where id = new.proposal_id)
    or (select role from users where name = new.decided_by) <> 'approver'
  )
begin select raise(abort, 'what two agree on is approved by an approver who did not propose it'); end;
