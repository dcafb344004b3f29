UPDATE {schema}.task t SET
    due_at = given.due_at, place = given.fresh, epoch = given.epoch,
    finished_at = given.finished_at, finish = given.finish, wake_at = given.wake_at,
    kept_until = given.kept_until,
    expires_at = given.expires_at, leased_at = NULL, worker = NULL, late = false, line = given.line,
    attempt = given.attempt, losses = given.losses, state = given.state, reason = given.reason,
    started = given.started, cancel_requested = given.cancel_requested,
    has_deliveries = t.has_deliveries OR given.recorded,
    result = CASE WHEN NOT given.clear THEN t.result END,
    result_type = CASE WHEN NOT given.clear THEN t.result_type END,
    progress = CASE WHEN NOT given.clear THEN t.progress END,
    progress_note = CASE WHEN NOT given.clear THEN t.progress_note END,
    checkpoints = CASE WHEN NOT given.clear THEN t.checkpoints END,
    checkpoint_values = CASE WHEN NOT given.clear THEN t.checkpoint_values END
FROM (
    -- Places are given out here, in the order of the arrays, whatever the join does.
    SELECT u.*, nextval('{schema}.place') AS fresh
    FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                $7::bigint[], $8::bigint[], $9::int[], $10::int[], $11::int[], $12::int[],
                $13::smallint[], $14::bool[], $15::bool[], $16::bool[], $17::bool[])
        AS u (id, due_at, epoch, finished_at, finish, wake_at, kept_until, expires_at, line, attempt,
              losses, state, reason, started, cancel_requested, recorded, clear)
) given
WHERE t.id = ANY (ARRAY[given.id])
RETURNING t.queue, t.line, t.place
