//! The contract of Haulier's storage traits as a test suite that every implementation runs.
