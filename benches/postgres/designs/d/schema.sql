-- (D) One row for a task's whole life; a claim inserts a lease and touches no task; a completion
-- deletes the lease and updates the task in its page, where no index sees it. Claims go on from a
-- frontier that the server remembers.
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
create index on task (line, seq);
create table lease (
  id uuid primary key, epoch bigint not null, worker text not null, deadline timestamptz not null
);
create table tally (line int, state smallint, more bigint);
-- A plan that was made while `lease` was empty must never scan it when it is full of dead rows.
do $$ begin
  execute format('alter database %I set enable_seqscan = off', current_database());
  execute format('alter database %I set enable_hashjoin = off', current_database());
  execute format('alter database %I set enable_mergejoin = off', current_database());
  execute format('alter database %I set jit = off', current_database());
end $$;
