//! The suite itself: that it is complete, and that it can fail.

mod complete;
mod planted;
