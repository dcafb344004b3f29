-- (C) A narrow row moves from `ready` to `lease`; the task's own row is updated at its end only.
create table task (
  seq bigint generated always as identity,
  id uuid primary key,
  line int not null,
  state smallint not null default 0,
  attempt smallint not null default 0,
  losses smallint not null default 0,
  epoch bigint not null default 0,
  kind text not null,
  enqueued_at timestamptz not null default now(),
  due timestamptz not null default now(),
  finished_at timestamptz,
  payload bytea not null
) with (fillfactor = 50);
create table ready (line int, seq bigint, id uuid not null, primary key (line, seq));
create table lease (
  id uuid primary key, epoch bigint not null, worker text not null, deadline timestamptz not null
);
-- A plan that was made while `lease` was empty must never scan it when it is full of dead rows.
do $$ begin
  execute format('alter database %I set enable_seqscan = off', current_database());
  execute format('alter database %I set enable_hashjoin = off', current_database());
  execute format('alter database %I set enable_mergejoin = off', current_database());
  execute format('alter database %I set jit = off', current_database());
end $$;
