//! What the fuzz targets feed. A target is one function from bytes to nothing; those that read the
//! log live in `haulier_embedded::fuzzing`, all others here.

pub mod outside;
