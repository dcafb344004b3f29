//! The worker's stream, frame by frame, as a worker in any language would speak it.

mod broken;
mod credit;
mod ends;
mod proxy;
mod room;
mod scripted;
mod servers;
mod worker;
