-- `= ANY (ARRAY[..])` leaves the planner one way only, here and elsewhere: a probe of the index for
-- each task. With `=` it may choose, while a table is small, to compare all with all, and a plan is
-- kept for long.
--
-- Completes tasks that run and were not called off. `finish` is base + place: so all completions of
-- a call stand in its order. Places come back only if some were left out.
WITH now AS MATERIALIZED (
    SELECT wall, nextval('{schema}.finish') * 1024 AS base FROM {schema}.now
),
ended AS (
    DELETE FROM {schema}.lease l
    USING (
        SELECT unnest($1::uuid[]) AS id, unnest($2::bigint[]) AS epoch,
               unnest($3::bigint[]) AS place
    ) given
    WHERE l.id = ANY (ARRAY[given.id]) AND l.epoch = given.epoch AND l.stops IS NULL
    RETURNING l.id, l.epoch, l.attempt, l.worker, l.leased_at, given.place
),
done AS (
    UPDATE {schema}.task t SET
        state = 4, epoch = ended.epoch, attempt = ended.attempt, worker = ended.worker,
        leased_at = ended.leased_at, started = true,
        finished_at = (SELECT wall FROM now), finish = (SELECT base FROM now) + ended.place,
        -- Nothing of an index changes, unless the task is kept for reasons of its own.
        expires_at = NULL,
        line = CASE WHEN t.retain IS NULL AND t.unique_key IS NULL THEN t.line END,
        kept_until = CASE WHEN t.retain IS NOT NULL OR t.unique_key IS NOT NULL THEN greatest(
            (SELECT wall FROM now) + coalesce(t.retain, (
                SELECT q.retain_completed FROM {schema}.queue q WHERE q.no = t.queue
            )),
            t.enqueued_at + t.unique_window
        ) END
    FROM ended
    WHERE t.id = ANY (ARRAY[ended.id])
    RETURNING t.id, t.queue, t.finish, ended.place, t.line IS NULL AS single,
              t.enqueued_at + t.unique_window AS held_until
),
sums AS MATERIALIZED (
    SELECT queue, count(*) AS tasks, count(*) FILTER (WHERE single) AS singles,
           min(finish) AS first, max(finish) AS last
    FROM done GROUP BY queue
),
-- Mostly everything was completed, in one queue: then what was given is what is kept.
all_given AS MATERIALIZED (
    SELECT min(queue) AS queue, min(first) AS first FROM sums
    HAVING count(*) = 1 AND sum(singles) = 0 AND sum(tasks) = cardinality($1::uuid[])
       AND max(last) - min(first) + 1 = sum(tasks)
),
-- Else: what stands one after the other is one row, a queue.
runs AS (
    SELECT id, queue, finish, place - row_number() OVER (ORDER BY place) AS run
    FROM done WHERE NOT single AND (SELECT true FROM all_given) IS NULL
),
kept AS (
    INSERT INTO {schema}.completion (queue, first, at, ids, single, held_until)
    SELECT all_given.queue, all_given.first, now.wall, $1::uuid[], false, NULL::bigint
    FROM all_given, now
    UNION ALL
    SELECT runs.queue, min(runs.finish), now.wall, array_agg(runs.id ORDER BY runs.finish), false,
           NULL
    FROM runs, now GROUP BY runs.queue, runs.run, now.wall
    UNION ALL
    SELECT done.queue, done.finish, now.wall, ARRAY[done.id], true,
           CASE WHEN done.held_until > now.wall THEN done.held_until END
    FROM done, now WHERE done.single
),
counted AS (
    INSERT INTO {schema}.tally (queue, running, completed, finished)
    SELECT queue, -tasks, tasks, tasks FROM sums
)
SELECT (SELECT base FROM now) AS base, coalesce(sum(tasks), 0)::bigint AS completed,
       array_agg(queue) AS queues,
       CASE WHEN coalesce(sum(tasks), 0) < cardinality($1::uuid[])
           THEN (SELECT array_agg(place) FROM done) END AS places
FROM sums
