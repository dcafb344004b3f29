-- What is left is the id, and the epoch for those that come after it.
UPDATE {schema}.task SET
    state = 7, line = NULL, wake_at = NULL, expires_at = NULL, kept_until = $2::bigint,
    finish = NULL, reason = NULL, payload = '', content_type = NULL, worker = NULL,
    has_deliveries = false, max_attempts = NULL, timeout = NULL, backoff = NULL, retain = NULL,
    expires_in = NULL, headers = NULL, labels = NULL, unique_key = NULL, unique_window = NULL,
    unique_until = NULL, unique_conflict = NULL, result = NULL, result_type = NULL,
    progress = NULL, progress_note = NULL, checkpoints = NULL, checkpoint_values = NULL
WHERE id = ANY ($1::uuid[])
