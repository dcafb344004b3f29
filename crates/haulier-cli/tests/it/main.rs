//! The real binary, as people and scripts use it: exit codes, words, signals, processes.

#[cfg(test)]
mod bench;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod exec;
#[cfg(test)]
mod keep;
#[cfg(test)]
mod kit;
#[cfg(test)]
mod quickstart;
#[cfg(test)]
mod servers;
#[cfg(test)]
mod tasks;
#[cfg(test)]
mod words;
