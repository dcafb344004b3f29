-- Haulier's tables. `{schema}` is replaced by the quoted name of the schema.
--
-- What makes it fast, and flat: a task is one row for its whole life. Enqueueing inserts it; leasing
-- touches it not at all (a lease is a row of its own); completing updates it in place, with no
-- indexed column changed, so that no index is written. Counts are sums of rows that are only ever
-- added. Times are milliseconds since 1970; leases count on a time of their own (see lease_time).

-- One row: what the store knows of itself.
CREATE TABLE {schema}.meta (
    one          boolean PRIMARY KEY DEFAULT true CHECK (one),
    -- The upper half of every epoch. Raised when the database is another one than before.
    generation   integer NOT NULL DEFAULT 1,
    -- Which database this was when it was looked at last: its system identifier and own number, its
    -- timeline, and when its server was started.
    system_id    text,
    timeline     integer,
    started      bigint,
    -- The calendar as the last sweep read it. It never goes back.
    wall         bigint NOT NULL DEFAULT 0,
    -- How far the calendar has jumped ahead, all in all: leases do not follow it.
    slip         bigint NOT NULL DEFAULT 0,
    -- The time of leases as the last sweep read it.
    leases_at    bigint NOT NULL DEFAULT 0,
    -- The largest epoch of any task that is gone: its id may be used again, its keys may not.
    epoch_floor  bigint NOT NULL DEFAULT 0
);
INSERT INTO {schema}.meta DEFAULT VALUES;

-- The one place that asks the database's clock. Tests put their own in its place.
CREATE FUNCTION {schema}.clock() RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL SAFE
    AS $$ SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint $$;

-- The times that a statement needs, with what else every verb asks of `meta`. `wall` is what is
-- stored and shown, `leases` is what deadlines count on: it does not jump when the calendar does, and
-- it goes no farther than two seconds beyond the last sweep. So a jump has no time to do harm before
-- a sweep sees it, and time without any server is nobody's loss. While the calendar is behind, `wall`
-- goes on at half speed, by the time of leases: a pause that begins then must not be cut short by
-- the next sweep.
CREATE VIEW {schema}.now AS
    SELECT greatest(read.at, m.wall + (read.leases - m.leases_at) / 2) AS wall,
           read.leases, m.generation, m.epoch_floor
    -- The limit tells the planner what it cannot know: that it is one row.
    FROM (SELECT * FROM {schema}.meta WHERE one LIMIT 1) m,
         LATERAL (SELECT clock.at,
                         least(greatest(clock.at - m.slip, m.leases_at), m.leases_at + 2000)
                             AS leases
                  FROM (SELECT {schema}.clock() AS at) clock) read;

CREATE TABLE {schema}.queue (
    no               integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name             text COLLATE "C" NOT NULL UNIQUE,
    paused           boolean NOT NULL DEFAULT false,
    concurrency      integer,
    max_tasks        bigint,
    retain_completed bigint NOT NULL DEFAULT 3600000,
    retain_count     bigint NOT NULL DEFAULT 10000,
    retain_cancelled bigint NOT NULL DEFAULT 86400000,
    retain_dead      bigint NOT NULL DEFAULT 2592000000
);

-- How far retention has come in a queue; apart from it, because it changes with every sweep.
CREATE TABLE {schema}.retention (
    queue      integer PRIMARY KEY,
    -- Completed tasks that still have a line and whose `finish` is below are gone: one number
    -- removes thousands of tasks.
    gone_below bigint NOT NULL DEFAULT 0,
    -- When there is something to look for again, by the calendar. Null: once something completes.
    look_at    bigint
) WITH (fillfactor = 50);
CREATE INDEX retention_look ON {schema}.retention (look_at) WHERE look_at IS NOT NULL;

-- Places in line. Gaps are harmless.
CREATE SEQUENCE {schema}.place CACHE 1;
-- Numbers of batches of completions; `finish` = number * 1024 + place in the batch.
CREATE SEQUENCE {schema}.finish CACHE 1;

CREATE TABLE {schema}.task (
    id             uuid PRIMARY KEY,
    enqueued_at    bigint NOT NULL,
    due_at         bigint NOT NULL,
    -- Its place in line: among equals the smaller comes first.
    place          bigint NOT NULL,
    -- The newest epoch that any ended delivery had; a running one's stands in `lease`.
    epoch          bigint NOT NULL,
    finished_at    bigint,
    -- The order of completions, for retention by count: number of the batch * 1024 + position in it.
    finish         bigint,
    -- Out of line: when it comes into line, by itself.
    wake_at        bigint,
    -- Finished, and removed by itself: until when it is kept. Removed: until when its id is known.
    kept_until     bigint,
    -- When it expires if it has not started.
    expires_at     bigint,
    -- The delivery that completed it, when its row is the only record of it.
    leased_at      bigint,
    queue          integer NOT NULL,
    -- Its line: queue * 16 + 9 - priority. Null: not in line. A completed task stays where it was,
    -- so that its index is not written; its state says that it is passed over.
    line           integer,
    attempt        integer NOT NULL DEFAULT 0,
    losses         integer NOT NULL DEFAULT 0,
    -- 0 scheduled, 1 available (or running, if `lease` has it), 3 retryable, 4 completed,
    -- 5 cancelled, 6 dead, 7 removed: only the id is still known.
    state          smallint NOT NULL,
    reason         smallint,
    priority       smallint NOT NULL,
    started        boolean NOT NULL DEFAULT false,
    -- It was cancelled while it ran. While it runs, `lease.stops` says so.
    cancel_requested boolean NOT NULL DEFAULT false,
    late           boolean NOT NULL DEFAULT false,
    -- Whether `delivery` has rows of it.
    has_deliveries boolean NOT NULL DEFAULT false,
    -- Before what never changes: an update logs what lies between two rows' common beginning and end.
    worker         text COLLATE "C",
    kind           text COLLATE "C" NOT NULL,
    payload        bytea NOT NULL,
    -- Null: application/json.
    content_type   text,
    -- The rest is null for most tasks, and costs them nothing. Null policy: the default.
    max_attempts   integer,
    timeout        bigint,
    -- base, max, factor and jitter in thousandths
    backoff        bigint[],
    retain         bigint,
    expires_in     bigint,
    -- name, value, name, value
    headers        text[],
    labels         text[],
    unique_key     text COLLATE "C",
    unique_window  bigint,
    -- 0 start, 1 finish
    unique_until   smallint,
    -- 0 return, 1 reject, 2 replace
    unique_conflict smallint,
    result         bytea,
    result_type    text,
    progress       double precision,
    progress_note  text,
    checkpoints    text[],
    checkpoint_values bytea[]
) WITH (fillfactor = 45, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
-- A completion must change no column of these indexes.
CREATE INDEX task_line ON {schema}.task (line, place) WHERE line IS NOT NULL;
CREATE INDEX task_wake ON {schema}.task (wake_at, place) WHERE wake_at IS NOT NULL;
CREATE INDEX task_kept ON {schema}.task (kept_until) WHERE kept_until IS NOT NULL;
CREATE INDEX task_expires ON {schema}.task (expires_at) WHERE expires_at IS NOT NULL;
-- Listings, newest first: of all; of those that are in no line; of those that are dead.
CREATE INDEX task_age ON {schema}.task (enqueued_at, id);
CREATE INDEX task_aside ON {schema}.task (enqueued_at, id) WHERE line IS NULL;
CREATE INDEX task_dead ON {schema}.task (enqueued_at, id) WHERE reason IS NOT NULL;

-- Running tasks: the fence, and until when it holds.
CREATE TABLE {schema}.lease (
    id            uuid PRIMARY KEY,
    epoch         bigint NOT NULL,
    -- By the time of leases: when it runs out, where renewals end, where a cancellation ends it.
    deadline      bigint NOT NULL,
    ends          bigint NOT NULL,
    stops         bigint,
    ttl           bigint NOT NULL,
    -- By the calendar.
    leased_at     bigint NOT NULL,
    queue         integer NOT NULL,
    attempt       integer NOT NULL,
    place         bigint NOT NULL,
    worker        text COLLATE "C" NOT NULL
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX lease_deadline ON {schema}.lease (deadline);

-- Deliveries that ended otherwise than by a plain completion: at most 20 a task.
CREATE TABLE {schema}.delivery (
    task      uuid NOT NULL,
    epoch     bigint NOT NULL,
    attempt   integer NOT NULL,
    worker    text COLLATE "C" NOT NULL,
    leased_at bigint NOT NULL,
    ended_at  bigint NOT NULL,
    -- 0 complete, 1 fail, 2 reject, 3 snooze, 4 release, 5 cancelled, 6 lost
    ended     smallint NOT NULL,
    -- 0 error, 1 timeout, 2 panic, 3 decode
    cause     smallint,
    class     text,
    message   text,
    trace     text,
    late      boolean NOT NULL DEFAULT false,
    -- What the settlement was answered: a state, or -1 for "cancelled"; null for a lost one.
    answer    smallint,
    PRIMARY KEY (task, epoch)
);

-- Who holds, or held last, a unique key.
CREATE TABLE {schema}.holder (
    queue integer NOT NULL,
    key   text COLLATE "C" NOT NULL,
    task  uuid NOT NULL,
    PRIMARY KEY (queue, key)
);

-- Changes of counts. A queue's counts are the sums; sweeps add rows up. Nothing is ever updated,
-- so that nobody waits for a counter.
CREATE TABLE {schema}.tally (
    queue     integer NOT NULL,
    scheduled bigint NOT NULL DEFAULT 0,
    available bigint NOT NULL DEFAULT 0,
    running   bigint NOT NULL DEFAULT 0,
    retryable bigint NOT NULL DEFAULT 0,
    completed bigint NOT NULL DEFAULT 0,
    cancelled bigint NOT NULL DEFAULT 0,
    dead      bigint NOT NULL DEFAULT 0,
    accepted  bigint NOT NULL DEFAULT 0,
    removed   bigint NOT NULL DEFAULT 0,
    finished  bigint NOT NULL DEFAULT 0,
    -- Not added up yet.
    fresh     boolean NOT NULL DEFAULT true
) WITH (autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX tally_queue ON {schema}.tally (queue);
CREATE INDEX tally_fresh ON {schema}.tally (queue) WHERE fresh;

-- Completed tasks, in the order of their completion: what retention by count and by time goes by.
-- One row a queue and batch, so that a thousand tasks are counted, and removed, by one.
CREATE TABLE {schema}.completion (
    queue   integer NOT NULL,
    -- `finish` of the first of them; of the others it is larger, with gaps.
    first   bigint NOT NULL,
    at      bigint NOT NULL,
    ids     uuid[] NOT NULL,
    -- A task that is removed by itself (own retention, or a unique key): it is out of line.
    single  boolean NOT NULL DEFAULT false,
    -- A single one whose unique key is held for its window: until then it is not removed.
    held_until bigint,
    -- When they went; then their ids are remembered for a while.
    gone_at bigint,
    PRIMARY KEY (queue, first)
);
-- Ids hardly shrink; trying takes time.
ALTER TABLE {schema}.completion ALTER ids SET STORAGE EXTERNAL;
-- What may go by count, what goes by time, whose key becomes free, and what is gone.
CREATE INDEX completion_free ON {schema}.completion (queue, first)
    WHERE gone_at IS NULL AND held_until IS NULL;
CREATE INDEX completion_plain ON {schema}.completion (queue, first)
    WHERE gone_at IS NULL AND NOT single;
CREATE INDEX completion_held ON {schema}.completion (held_until) WHERE held_until IS NOT NULL;
CREATE INDEX completion_gone ON {schema}.completion (gone_at, queue) WHERE gone_at IS NOT NULL;

-- How many tasks of a queue may start now. Null: as many as there are.
CREATE VIEW {schema}.room AS
    SELECT q.no, q.concurrency IS NOT NULL AND NOT q.paused AS is_limited,
           CASE
               WHEN q.paused THEN 0
               WHEN q.concurrency IS NOT NULL THEN greatest(0, q.concurrency - (
                   SELECT coalesce(sum(t.running), 0) FROM {schema}.tally t WHERE t.queue = q.no
               ))
           END::bigint AS room
    FROM {schema}.queue q;

-- Servers that have this store open.
CREATE TABLE {schema}.node (
    id       text PRIMARY KEY,
    -- By the time of leases.
    heard_at bigint NOT NULL
);

-- Workers as they were heard of last, and what operators want of them.
CREATE TABLE {schema}.worker (
    id        text COLLATE "C" PRIMARY KEY,
    -- By the time of leases.
    heard_at  bigint NOT NULL,
    -- 0 run, 1 quiet, 2 stop
    directive smallint NOT NULL DEFAULT 0,
    -- There is something that it should know before its next beat.
    news      boolean NOT NULL DEFAULT false,
    version   text,
    queues    text[],
    kinds     text[],
    slots     bigint
) WITH (fillfactor = 50);

-- What decides about a task: its own row, its lease and its queue's retention. `gone`: only its id is
-- known. Whoever changes a task locks its rows first and reads this in the next statement.
CREATE VIEW {schema}.standing AS
    SELECT t.id, t.queue, t.state, t.reason, t.priority, t.attempt, t.losses, t.started,
           t.cancel_requested, t.epoch, t.enqueued_at, t.due_at, t.finished_at, t.finish,
           t.expires_at, t.place, t.has_deliveries, t.leased_at, t.worker, t.late,
           t.max_attempts, t.timeout, t.retain, t.unique_key, t.unique_window, t.unique_until,
           l.epoch AS lease_epoch, l.deadline AS lease_deadline, l.ends AS lease_ends,
           l.stops AS lease_stops, l.ttl AS lease_ttl, l.leased_at AS lease_leased_at,
           l.attempt AS lease_attempt, l.worker AS lease_worker,
           q.retain_completed, q.retain_cancelled, q.retain_dead,
           t.state = 7 OR (t.state = 4 AND t.line IS NOT NULL
                           AND t.finish < coalesce(k.gone_below, 0)) AS gone
    FROM {schema}.task t
    JOIN {schema}.queue q ON q.no = t.queue
    LEFT JOIN {schema}.retention k ON k.queue = t.queue
    LEFT JOIN {schema}.lease l ON l.id = ANY (ARRAY[t.id]);

-- The same, and all that is shown of it.
CREATE VIEW {schema}.whole AS
    SELECT t.id, t.queue, t.state, t.reason, t.priority, t.attempt, t.losses, t.started,
           t.cancel_requested, t.epoch, t.enqueued_at, t.due_at, t.finished_at, t.finish,
           t.expires_at, t.place, t.has_deliveries, t.leased_at, t.worker, t.late,
           t.max_attempts, t.timeout, t.retain, t.unique_key, t.unique_window, t.unique_until,
           l.epoch AS lease_epoch, l.deadline AS lease_deadline, l.ends AS lease_ends,
           l.stops AS lease_stops, l.ttl AS lease_ttl, l.leased_at AS lease_leased_at,
           l.attempt AS lease_attempt, l.worker AS lease_worker,
           q.retain_completed, q.retain_cancelled, q.retain_dead,
           t.state = 7 OR (t.state = 4 AND t.line IS NOT NULL
                           AND t.finish < coalesce(k.gone_below, 0)) AS gone,
           q.name AS queue_name, t.kind, t.payload, t.content_type, t.backoff, t.expires_in,
           t.headers, t.labels, t.unique_conflict, t.result, t.result_type, t.progress,
           t.progress_note, t.checkpoints, t.checkpoint_values
    FROM {schema}.task t
    JOIN {schema}.queue q ON q.no = t.queue
    LEFT JOIN {schema}.retention k ON k.queue = t.queue
    LEFT JOIN {schema}.lease l ON l.id = ANY (ARRAY[t.id]);
