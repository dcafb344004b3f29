//! The derive of haulier::Task.
