-- (B) A row is locked by an update and deleted when its task is done: graphile-worker. Nothing
-- remembers a finished task.
create table task (
  seq bigint generated always as identity primary key,
  id uuid not null unique,
  line int not null,
  attempt smallint not null default 0,
  losses smallint not null default 0,
  epoch bigint not null default 0,
  kind text not null,
  enqueued_at timestamptz not null default now(),
  due timestamptz not null default now(),
  deadline timestamptz,
  worker text,
  payload bytea not null
);
create index on task (line, due, seq) where worker is null;
