//! What a Redis says of itself (`INFO`).

/// The answer to `INFO`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Info(String);

impl Info {
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// A field; empty if it is not there.
    pub fn field(&self, name: &str) -> &str {
        let mut lines = self.0.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default()
    }

    /// Whether it takes writes.
    pub fn is_master(&self) -> bool {
        self.field("role") == "master"
    }

    pub fn is_sentinel(&self) -> bool {
        self.field("redis_mode") == "sentinel"
    }

    pub fn is_cluster(&self) -> bool {
        self.field("cluster_enabled") == "1"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let info = Info::new("# Replication\r\nrole:master\r\nmaster_link:x\r\n".to_owned());
        assert!(info.is_master());
        assert_eq!((info.field("master_link"), info.field("master")), ("x", ""));
        assert!(!info.is_cluster());
    }
}
