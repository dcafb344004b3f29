CREATE TABLE IF NOT EXISTS {schema}.migration (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    -- SHA-256 of the text that was applied.
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
