//! The suite itself: that it is complete, that it can fail, and that its histories go far.

mod buggy;
mod complete;
mod planted;
mod reached;
