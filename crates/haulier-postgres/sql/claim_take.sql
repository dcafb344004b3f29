-- Takes the first tasks of one queue, of whatever kind, in the order of its stretches of lines: for
-- whom each is, is known before, by turns. What is looked at is read once, and most of it is taken.
-- Nothing without the queue's mutex, and no more than its settings let start.
WITH now AS MATERIALIZED (SELECT * FROM {schema}.now),
room AS MATERIALIZED (
    SELECT coalesce(r.room, cardinality($6::int[])) AS tasks
    FROM {schema}.room r
    WHERE r.no = $4::int AND r.no = ANY (nullif(current_setting('haulier.held', true), '')::int[])
),
seen AS MATERIALIZED (
    SELECT s.no, t.*,
           CASE WHEN t.is_free AND count(*) FILTER (WHERE t.is_free) OVER so_far <= room.tasks
               THEN count(*) FILTER (WHERE t.is_free) OVER so_far END AS turn
    FROM room
    CROSS JOIN unnest($1::int[], $2::bigint[]) WITH ORDINALITY AS s (line, after, no)
    CROSS JOIN LATERAL (
        SELECT task.id, task.place, task.attempt + 1 AS nth, task.losses, task.enqueued_at,
               task.priority, task.kind, task.payload, task.content_type, task.max_attempts,
               task.timeout, task.backoff, task.retain, task.expires_in, task.headers,
               task.labels, task.checkpoints, task.checkpoint_values,
               greatest(
                   greatest(task.epoch, (SELECT epoch_floor FROM now)) + 1,
                   ((SELECT generation FROM now)::bigint << 32) + 1
               ) AS granted,
               task.state = 1 AND (
                   SELECT l.epoch FROM {schema}.lease l WHERE l.id = task.id
               ) IS NULL AS is_free
        FROM {schema}.task
        WHERE task.line = s.line AND task.place > s.after
        ORDER BY task.place
        LIMIT $3::bigint
    ) t
    WINDOW so_far AS (ROWS UNBOUNDED PRECEDING)
    LIMIT $3::bigint
),
leased AS (
    INSERT INTO {schema}.lease (id, epoch, deadline, ends, ttl, leased_at, queue, attempt, place,
                                worker)
    SELECT id, granted, (SELECT leases FROM now) + ($7::bigint[])[turn],
           (SELECT leases FROM now) + coalesce(timeout, $8::bigint) + $9::bigint,
           ($7::bigint[])[turn], (SELECT wall FROM now), $4::int, nth, place,
           ($5::text[])[($6::int[])[turn]]
    FROM seen WHERE turn <= cardinality($6::int[])
),
counted AS (
    INSERT INTO {schema}.tally (queue, available, running)
    SELECT $4::int, -count(*), count(*) FROM seen WHERE turn <= cardinality($6::int[])
    HAVING count(*) > 0
)
SELECT no, place, is_free, id, turn <= cardinality($6::int[]) AS is_taken, granted, nth, losses,
       enqueued_at, priority, kind, CASE WHEN turn IS NOT NULL THEN payload END AS payload,
       content_type, max_attempts, timeout, backoff, retain, expires_in, headers, labels,
       checkpoints, CASE WHEN turn IS NOT NULL THEN checkpoint_values END AS checkpoint_values
FROM seen
