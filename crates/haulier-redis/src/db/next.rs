//! What to do after Redis has not answered as asked.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::options::{Address, PORT};

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// It has not done it, and may before long.
    Later,
    /// It has not done it: somebody else does, there if it says where.
    Elsewhere(Option<Address>),
    /// It has not done it: the keys are on their way to somebody else, who may be asked this once.
    Ask(Address),
    /// That was the answer, or there will be none. Lost: nor will there be one to anything else.
    Fail { is_lost: bool },
}

/// Decides, for the node at this address.
pub(super) fn after(error: &RedisError, asked: &Address) -> Next {
    use ServerErrorKind::{Ask, ClusterDown, MasterDown, Moved, ReadOnly, TryAgain};
    match error.kind() {
        ErrorKind::Server(TryAgain) => Next::Later,
        ErrorKind::Server(ReadOnly | MasterDown | ClusterDown) => Next::Elsewhere(None),
        ErrorKind::Server(Moved) => Next::Elsewhere(redirected(error, asked)),
        ErrorKind::Server(Ask) => redirected(error, asked).map_or(Next::Later, Next::Ask),
        ErrorKind::Io | ErrorKind::Parse => Next::Fail { is_lost: true },
        _ => match error.code() {
            Some("BUSY") => Next::Later,
            Some("NOAUTH") => Next::Fail { is_lost: true },
            _ => Next::Fail { is_lost: false },
        },
    }
}

/// Whom a node names. Without a host it is another port of the same machine.
fn redirected(error: &RedisError, asked: &Address) -> Option<Address> {
    let (named, _) = error.redirect_node()?;
    let port = named.strip_prefix(':').and_then(|port| port.parse().ok());
    match (port, asked) {
        (Some(port), Address::Tcp { host, .. }) => Some(Address::tcp(host, port)),
        _ => Address::parse(named, PORT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(code: &str, detail: &str) -> Next {
        let answer = format!("-{code} {detail}\r\n");
        let value = redis::parse_redis_value(answer.as_bytes()).unwrap();
        let error = value.extract_error().unwrap_err();
        super::after(&error, &Address::tcp("a", 7000))
    }

    #[test]
    fn what_was_not_done_is_asked_again_where_it_may_be_done() {
        let at = |host, port| Some(Address::tcp(host, port));
        assert_eq!(after("MOVED", "42 b:7001"), Next::Elsewhere(at("b", 7001)));
        assert_eq!(after("MOVED", "42 :7001"), Next::Elsewhere(at("a", 7001)));
        assert_eq!(after("MOVED", "42 ::1:7001"), Next::Elsewhere(at("::1", 7001)));
        assert_eq!(after("ASK", "42 b:7001"), Next::Ask(Address::tcp("b", 7001)));
        assert_eq!(after("READONLY", "a replica"), Next::Elsewhere(None));
        assert_eq!(after("CLUSTERDOWN", "not served"), Next::Elsewhere(None));
        assert_eq!(after("TRYAGAIN", "keys are moving"), Next::Later);
        assert_eq!(after("BUSY", "a script"), Next::Later);
    }

    #[test]
    fn everything_else_is_an_answer() {
        for code in ["OOM", "LOADING", "NOPERM", "ERR", "HAULIERGONE", "NOSCRIPT"] {
            assert_eq!(after(code, "x"), Next::Fail { is_lost: false }, "{code}");
        }
        assert_eq!(after("NOAUTH", "x"), Next::Fail { is_lost: true });
        let lost = RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert_eq!(super::after(&lost, &Address::tcp("a", 1)), Next::Fail { is_lost: true });
    }
}
