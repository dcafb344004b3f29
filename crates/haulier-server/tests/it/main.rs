//! The server over real sockets, as its clients see it.

mod http;
mod remote;
mod run;
mod settings;
mod site;
mod stream;
