-- (A) A state column that is updated in place and indexed, claims by SKIP LOCKED: River, Oban.
create table task (
  seq bigint generated always as identity primary key,
  id uuid not null unique,
  line int not null,
  state smallint not null default 0,
  attempt smallint not null default 0,
  losses smallint not null default 0,
  epoch bigint not null default 0,
  kind text not null,
  enqueued_at timestamptz not null default now(),
  due timestamptz not null default now(),
  deadline timestamptz,
  finished_at timestamptz,
  worker text,
  payload bytea not null
);
create index on task (state, line, due, seq);
