-- Beyond the limit the longest silent go first.
DELETE FROM {schema}.worker
WHERE id IN (SELECT id FROM {schema}.worker ORDER BY heard_at DESC, id DESC OFFSET $1::bigint)
