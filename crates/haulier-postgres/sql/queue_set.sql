UPDATE {schema}.queue SET
    paused = $2, concurrency = $3, max_tasks = $4, retain_completed = $5, retain_count = $6,
    retain_cancelled = $7, retain_dead = $8
WHERE no = $1
