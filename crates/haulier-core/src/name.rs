//! The names that users choose: queues, kinds, workers. One grammar for all of them, so that a name
//! can stand in a path, a key, a label or a file without being quoted:
//! `[A-Za-z0-9][A-Za-z0-9._-]*`, at most 128 bytes. A value of these types is always valid.

use std::fmt;
use std::sync::Arc;

use crate::error::{Code, Refusal};
use crate::limits::NAME_BYTES_MAX;

/// Says why `text` is no name, in words that tell what to change.
fn check(what: &str, text: &str) -> Result<(), Refusal> {
    let refuse = |why: String| Err(Refusal::new(Code::Invalid, format!("{what} {why}")));
    if text.is_empty() {
        return refuse("is empty; give it a name such as `mail`".to_owned());
    }
    if text.len() > NAME_BYTES_MAX {
        return refuse(format!("has {} bytes; at most {NAME_BYTES_MAX} are allowed", text.len()));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric();
    let allowed = |byte: u8| plain(byte) || matches!(byte, b'.' | b'_' | b'-');
    if !text.bytes().next().is_some_and(plain) || !text.bytes().all(allowed) {
        return refuse(format!(
            "{:?} is not a name; use letters, digits, `.`, `_`, `-`, beginning with a letter or digit",
            text.chars().take(40).collect::<String>()
        ));
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Takes a name that follows the grammar.
            ///
            /// # Errors
            /// [`Code::Invalid`] with what is wrong and what is allowed.
            pub fn new(text: impl AsRef<str>) -> Result<Self, Refusal> {
                let text = text.as_ref();
                check($what, text).map(|()| Self(text.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl std::str::FromStr for $type {
            type Err = Refusal;
            fn from_str(text: &str) -> Result<Self, Refusal> {
                Self::new(text)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// The name of a line of tasks. A queue exists as soon as it is named and costs nothing idle.
    QueueName, "queue"
}
name! {
    /// The type of a task: what it asks a worker to do, as in `email.send`.
    Kind, "kind"
}
name! {
    /// One run of a worker process. It must be new at every start, for leases belong to it: after a
    /// lost connection the same id takes its leases back, and a new process must never do so.
    WorkerId, "worker"
}

impl Default for QueueName {
    /// The queue `default`.
    fn default() -> Self {
        Self("default".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_be_as_long_as_the_limit_and_no_longer() {
        assert!(QueueName::new("q".repeat(NAME_BYTES_MAX)).is_ok());
        assert_eq!(QueueName::new("q".repeat(NAME_BYTES_MAX + 1)).unwrap_err().code, Code::Invalid);
    }

    #[test]
    fn a_name_never_holds_what_a_path_a_key_or_a_terminal_would_read_as_more() {
        for hostile in
            ["", ".hidden", "-flag", "a/b", "a:b", "{a}", "a b", "é", "a\n", "\u{1b}[2J", "a*"]
        {
            assert_eq!(Kind::new(hostile).unwrap_err().code, Code::Invalid, "{hostile:?}");
        }
        for fine in ["a", "0", "email.send", "Mail_2-x"] {
            assert_eq!(Kind::new(fine).unwrap().as_str(), fine);
        }
    }
}
