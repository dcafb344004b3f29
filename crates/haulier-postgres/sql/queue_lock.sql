SELECT paused, concurrency, max_tasks, retain_completed, retain_count, retain_cancelled, retain_dead
FROM {schema}.queue WHERE no = $1 FOR NO KEY UPDATE
