-- The first thing that the role may not do and has to.
SELECT current_user::text AS role, c.relname::text AS relation, want.privilege AS privilege,
       c.relkind = 'S' AS sequence
FROM pg_class c
CROSS JOIN LATERAL unnest(CASE c.relkind
    WHEN 'S' THEN ARRAY['USAGE']
    WHEN 'v' THEN ARRAY['SELECT']
    ELSE ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE'] END) AS want (privilege)
WHERE c.relnamespace = to_regnamespace(quote_ident($1::text))
  AND c.relkind IN ('r', 'v', 'S')
  AND c.relname NOT IN ('migration', 'queue_no_seq')
  AND NOT CASE c.relkind WHEN 'S' THEN has_sequence_privilege(c.oid, want.privilege)
      ELSE has_table_privilege(c.oid, want.privilege) END
ORDER BY c.relname, want.privilege
LIMIT 1
