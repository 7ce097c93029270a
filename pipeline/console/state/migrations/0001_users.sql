-- Who may come in, and with what. Tokens and sessions are kept as hashes only.
create table users (
  name text primary key check (length(name) between 1 and 120),
  role text not null check (role in ('viewer', 'investigator', 'approver')),
  created_at text not null,
  disabled_at text
) strict;

create table tokens (
  hash text primary key,
  user_name text not null references users (name),
  created_at text not null,
  revoked_at text
) strict;

create table sessions (
  hash text primary key,
  user_name text not null references users (name),
  csrf text not null,
  created_at text not null,
  seen_at text not null,
  ended_at text
) strict;

create table secrets (
  name text primary key,
  value blob not null
) strict;

-- What an administrator changed, for ever.
create table user_events (
  id integer primary key,
  at text not null,
  user_name text not null references users (name),
  what text not null check (what in ('added', 'role', 'token', 'revoked', 'disabled', 'enabled')),
  detail text not null default ''
) strict;

create trigger user_events_stay before update on user_events
begin select raise(abort, 'history is only ever added to'); end;

create trigger user_events_remain before delete on user_events
begin select raise(abort, 'history is only ever added to'); end;
