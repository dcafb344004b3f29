-- Adds up what there is of these queues into one row each.
WITH gone AS (
    DELETE FROM {schema}.tally WHERE queue = ANY ($1::int[]) RETURNING *
)
INSERT INTO {schema}.tally (queue, scheduled, available, running, retryable, completed, cancelled,
                            dead, accepted, removed, finished, fresh)
SELECT queue, sum(scheduled), sum(available), sum(running), sum(retryable), sum(completed),
       sum(cancelled), sum(dead), sum(accepted), sum(removed), sum(finished), false
FROM gone GROUP BY queue
RETURNING queue, completed
