-- Tasks with as much of their large parts as was asked for.
SELECT w.id, w.queue, w.state, w.reason, w.priority, w.attempt, w.losses, w.started,
       w.cancel_requested, w.epoch, w.enqueued_at, w.due_at, w.finished_at, w.finish, w.expires_at,
       w.place, w.has_deliveries, w.leased_at, w.worker, w.late, w.max_attempts, w.timeout, w.retain,
       w.unique_key, w.unique_window, w.unique_until, w.lease_epoch, w.lease_deadline, w.lease_ends,
       w.lease_stops, w.lease_ttl, w.lease_leased_at, w.lease_attempt, w.lease_worker,
       w.retain_completed, w.retain_cancelled, w.retain_dead, w.gone, w.queue_name, w.kind,
       CASE WHEN $2::bool THEN w.payload END AS payload, w.content_type, w.backoff, w.expires_in,
       w.headers, w.labels, w.unique_conflict, CASE WHEN $3::bool THEN w.result END AS result,
       w.result_type, w.progress, w.progress_note, w.checkpoints,
       CASE WHEN $4::bool THEN w.checkpoint_values END AS checkpoint_values
FROM {schema}.whole w
WHERE w.id = ANY ($1::uuid[]) AND NOT w.gone
