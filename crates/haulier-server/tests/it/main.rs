//! The server over real sockets, as its clients see it.

mod http;
mod run;
mod settings;
mod site;
