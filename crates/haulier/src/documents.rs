//! Documents whose Rust snippets are compiled and run like any other test. Nothing of this is built
//! otherwise.

#[doc = include_str!("../../../README.md")]
struct Readme;

#[doc = include_str!("../../../docs/guides/rust.md")]
struct RustGuide;
