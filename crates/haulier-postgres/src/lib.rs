//! A Haulier store in PostgreSQL.
