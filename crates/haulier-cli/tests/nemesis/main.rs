//! The fault matrix on the real program: processes, sockets, a kernel, a disk that fails. One test
//! a row, named after it; docs/faults.md has the table. Each runs in namespaces of its own.
//!
//! `HAULIER_CAMPAIGN=full` runs the long form, `HAULIER_SEED=n` another seed.

#[cfg(test)]
mod callers;
#[cfg(test)]
mod clocks;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod failpoints;
#[cfg(test)]
mod http;
#[cfg(test)]
mod kit;
#[cfg(test)]
mod network;
#[cfg(test)]
mod nodes;
#[cfg(test)]
mod servers;
#[cfg(test)]
mod site;
#[cfg(test)]
mod storage;
#[cfg(test)]
mod workers;
