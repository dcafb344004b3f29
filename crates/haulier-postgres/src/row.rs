//! Rows and core's nouns.
