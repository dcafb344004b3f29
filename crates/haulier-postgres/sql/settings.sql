-- What the server's settings promise, and which server it is.
SELECT current_setting('fsync') = 'on' AS fsync,
       current_setting('full_page_writes') = 'on' AS full_page_writes,
       current_setting('data_checksums') = 'on' AS data_checksums,
       current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('synchronous_standby_names') AS standbys,
       current_setting('default_transaction_isolation') AS isolation,
       current_setting('default_transaction_read_only') = 'on' AS read_only,
       current_setting('server_version_num')::integer AS version,
       current_setting('server_encoding') AS encoding,
       pg_is_in_recovery() AS in_recovery
