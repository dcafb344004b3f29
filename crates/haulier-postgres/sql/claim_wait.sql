-- Waits until whoever has the queue's mutex is done, but not for long: other queues wait, too.
SELECT pg_advisory_xact_lock(hashtext('{schema}'), $1::int)
FROM set_config('lock_timeout', '100ms', true)
