SELECT task, epoch, attempt, worker, leased_at, ended_at, ended, cause, class, message, trace, late,
       answer
FROM {schema}.delivery
WHERE task = ANY ($1::uuid[])
ORDER BY task, epoch
