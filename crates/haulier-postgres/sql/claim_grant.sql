-- The one place where a task gets its holder. Its row is not touched: the lease says that it runs.
WITH now AS MATERIALIZED (SELECT * FROM {schema}.now),
taken AS MATERIALIZED (
    SELECT given.worker AS holder, given.ttl,
           greatest(greatest(t.epoch, now.epoch_floor) + 1, (now.generation::bigint << 32) + 1)
               AS granted,
           t.attempt + 1 AS nth, t.place, t.queue,
           t.id, t.kind, t.payload, t.content_type, t.priority, t.losses,
           t.enqueued_at, t.max_attempts, t.timeout, t.backoff, t.retain, t.expires_in, t.headers,
           t.labels, t.checkpoints, t.checkpoint_values
    FROM now, unnest($1::uuid[], $2::text[], $3::bigint[]) AS given (id, worker, ttl)
    JOIN {schema}.task t ON t.id = ANY (ARRAY[given.id])
),
leased AS (
    INSERT INTO {schema}.lease (id, epoch, deadline, ends, ttl, leased_at, queue, attempt, place,
                                worker)
    SELECT taken.id, taken.granted, now.leases + taken.ttl,
           now.leases + coalesce(taken.timeout, $4::bigint) + $5::bigint, taken.ttl, now.wall,
           taken.queue, taken.nth, taken.place, taken.holder
    FROM taken, now
),
counted AS (
    INSERT INTO {schema}.tally (queue, available, running)
    SELECT queue, -count(*), count(*) FROM taken GROUP BY queue
)
SELECT id, queue, kind, payload, content_type, priority, losses, enqueued_at, max_attempts,
       timeout, backoff, retain, expires_in, headers, labels, checkpoints, checkpoint_values,
       granted, nth
FROM taken
