-- Cases and what people wrote in them. Rows are only ever added: a correction is another row.
create table cases (
  id integer primary key,
  subject_kind text not null check (subject_kind in ('account', 'cluster')),
  subject_id text not null,
  title text not null,
  opened_by text not null references users (name),
  opened_at text not null
) strict;

create index cases_by_subject on cases (subject_kind, subject_id);

create table case_events (
  id integer primary key,
  case_id integer not null references cases (id),
  at text not null,
  who text not null references users (name),
  what text not null check (what in ('note', 'closed', 'reopened')),
  body text not null default '',
  -- The page that was open, so that a note leads back to what it speaks of.
  link text
) strict;

create index case_events_by_case on case_events (case_id, id);

create trigger cases_stay before update on cases
begin select raise(abort, 'history is only ever added to'); end;

create trigger cases_remain before delete on cases
begin select raise(abort, 'history is only ever added to'); end;

create trigger case_events_stay before update on case_events
begin select raise(abort, 'history is only ever added to'); end;

create trigger case_events_remain before delete on case_events
begin select raise(abort, 'history is only ever added to'); end;
