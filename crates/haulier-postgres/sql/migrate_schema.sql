-- Whether the schema is there, and whether it has tables of Haulier.
SELECT to_regnamespace(quote_ident($1::text)) IS NOT NULL AS schema,
       to_regclass(quote_ident($1::text) || '.migration') IS NOT NULL AS tables
