-- One server at a time does this step of a sweep; the others need not wait for it.
SELECT pg_try_advisory_xact_lock(hashtext('{schema} sweep'), $1::int) AS got
