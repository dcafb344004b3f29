-- What tasks take of a page, with as much of their large parts as was asked for. The length of what
-- is stored apart is known without reading it.
SELECT t.id,
       512
       + CASE WHEN $2::bool THEN octet_length(t.payload) ELSE 0 END
       + CASE WHEN $3::bool THEN coalesce(octet_length(t.result), 0) ELSE 0 END
       + CASE WHEN $4::bool
              THEN coalesce((SELECT sum(octet_length(c)) FROM unnest(t.checkpoint_values) c), 0)
              ELSE 0 END
       + coalesce(pg_column_size(t.headers), 0) + coalesce(pg_column_size(t.labels), 0)
       + coalesce(octet_length(t.progress_note), 0)
       + CASE WHEN t.has_deliveries THEN coalesce(
             (SELECT sum(128 + coalesce(octet_length(d.class), 0)
                         + coalesce(octet_length(d.message), 0)
                         + coalesce(octet_length(d.trace), 0))
              FROM {schema}.delivery d WHERE d.task = t.id), 0) ELSE 0 END AS bytes
FROM {schema}.task t
WHERE t.id = ANY ($1::uuid[])
