-- They came in with transactions of others, and their time has not come.
UPDATE {schema}.task SET wake_at = due_at WHERE id = ANY ($1::uuid[])
