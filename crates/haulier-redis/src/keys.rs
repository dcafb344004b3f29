//! The keys of a shard: always the same ones, all with one hash tag, all named in every call. So a
//! cluster moves a shard as a whole or refuses a call, and no script can see half of one.

/// What each key holds; the order is that of `prelude.lua`.
const NAMES: [&str; 21] = [
    "meta", "task", "body", "extra", "ready", "due", "lease", "expire", "age", "done", "keep",
    "held", "queue", "key", "gone", "worker", "heard", "holds", "jobs", "node", "stand",
];

/// The keys of a shard.
#[derive(Debug, Clone)]
pub(crate) struct Keys(Vec<String>);

impl Keys {
    /// Of the shard with this number, of the store with this prefix.
    pub fn of(prefix: &str, shard: u16) -> Self {
        let tag = tag(prefix, shard);
        Self(NAMES.iter().map(|name| format!("{{{tag}}}:{name}")).collect())
    }

    pub fn all(&self) -> &[String] {
        &self.0
    }

    /// The key that holds definitions.
    pub fn task(&self) -> &str {
        &self.0[1]
    }

    /// The key of this number, as scripts count them: from one on.
    pub fn name(&self, number: usize) -> &str {
        self.0.get(number.wrapping_sub(1)).map_or("?", String::as_str)
    }

    /// The key that holds every queue.
    pub fn queue(&self) -> &str {
        &self.0[12]
    }
}

/// The hash tag of a shard: what a cluster places all its keys by.
pub(crate) fn tag(prefix: &str, shard: u16) -> String {
    format!("{prefix}:{shard}")
}

/// The channel in which servers of a store tell each other what is new.
pub(crate) fn channel(prefix: &str) -> String {
    format!("{{{prefix}:0}}:news")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_those_that_scripts_expect() {
        let keys = Keys::of("app", 3);
        assert_eq!(keys.queue(), "{app:3}:queue");
        assert_eq!(keys.all()[0], "{app:3}:meta");
        let prelude = include_str!("lua/prelude.lua");
        let (names, _) = prelude.split_once(" = unpack(KEYS)").unwrap();
        let (_, names) = names.rsplit_once("local ").unwrap();
        let names: Vec<String> = names.split(',').map(|name| name.trim().to_lowercase()).collect();
        assert_eq!(names, NAMES);
    }
}
