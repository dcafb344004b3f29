-- One at a time changes the tables of a schema.
SELECT pg_advisory_xact_lock(hashtext('haulier migrate'), hashtext($1::text))
