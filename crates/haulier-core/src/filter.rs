//! The filter grammar, one for API, CLI and dashboard: terms joined by "and", alternatives by
//! commas, `*` at the end of a name as a wildcard.
//!
//! ```text
//! queue:mail kind:email.*,sms.send state:dead,retryable reason:lost label.tenant:acme age:>1h
//! ```

use std::fmt;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::error::{Code, Refusal};
use crate::limits::FILTER_TERMS_MAX;
use crate::span;
use crate::task::Pairs;
use crate::transition::{DeadReason, State};

/// A parsed filter. The empty one matches every task.
///
/// ```
/// use haulier_core::Filter;
/// let filter: Filter = "kind:email.* state:dead".parse()?;
/// assert_eq!(filter.to_string(), "kind:email.* state:dead");
/// # Ok::<(), haulier_core::Refusal>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Term {
    Queue(Vec<Pattern>),
    Kind(Vec<Pattern>),
    State(Vec<State>),
    Reason(Vec<DeadReason>),
    Label(String, Vec<Pattern>),
    Older(Duration),
    Younger(Duration),
}

/// A name, or the beginning of one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    text: String,
    prefix: bool,
}

/// What a filter looks at.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The task's queue.
    pub queue: &'a str,
    /// The task's kind.
    pub kind: &'a str,
    /// The task's state.
    pub state: State,
    /// Why it is dead, if it is.
    pub reason: Option<DeadReason>,
    /// When it was accepted.
    pub enqueued_at: Timestamp,
    /// Its labels.
    pub labels: &'a Pairs,
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// [`Code::Invalid`] with the term that is wrong and what it could be.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let terms = text.split_whitespace().map(parse_term).collect::<Result<Vec<_>, _>>()?;
        if terms.len() > FILTER_TERMS_MAX {
            return invalid(format!(
                "a filter has {} terms; at most {FILTER_TERMS_MAX} are allowed",
                terms.len()
            ));
        }
        Ok(Self { terms })
    }

    /// A filter that matches tasks in these states.
    pub fn states(states: impl Into<Vec<State>>) -> Self {
        Self { terms: vec![Term::State(states.into())] }
    }

    /// Whether it matches every task.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Adds another filter's terms: both must match.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.terms.extend(other.terms);
        self
    }

    /// Whether labels are needed to decide; a store may have to read them from disk.
    pub fn needs_labels(&self) -> bool {
        self.terms.iter().any(|term| matches!(term, Term::Label(..)))
    }

    /// The filter without its terms on labels: what a store can decide before it reads them.
    #[must_use]
    pub fn without_labels(&self) -> Self {
        let terms = self.terms.iter().filter(|term| !matches!(term, Term::Label(..)));
        Self { terms: terms.cloned().collect() }
    }

    /// The states that a task must have one of; `None` if any will do. With this and the ages below a
    /// store finds what may match without looking at everything.
    pub fn only_states(&self) -> Option<Vec<State>> {
        let mut only: Option<Vec<State>> = None;
        for term in &self.terms {
            let states = match term {
                Term::State(any) => any.as_slice(),
                Term::Reason(_) => &[State::Dead],
                _ => continue,
            };
            let left = only.unwrap_or_else(|| State::ALL.to_vec());
            only = Some(left.into_iter().filter(|state| states.contains(state)).collect());
        }
        only
    }

    /// The age that a task must be beyond.
    pub fn older_than(&self) -> Option<Duration> {
        let ages = self.terms.iter().filter_map(|term| match term {
            Term::Older(than) => Some(*than),
            _ => None,
        });
        ages.max()
    }

    /// The age that a task must be below.
    pub fn younger_than(&self) -> Option<Duration> {
        let ages = self.terms.iter().filter_map(|term| match term {
            Term::Younger(than) => Some(*than),
            _ => None,
        });
        ages.min()
    }

    /// Whether a task matches; `now` is the store's wall clock.
    pub fn matches(&self, subject: &Subject<'_>, now: Timestamp) -> bool {
        let age = now.since(subject.enqueued_at);
        self.terms.iter().all(|term| match term {
            Term::Queue(any) => any.iter().any(|pattern| pattern.matches(subject.queue)),
            Term::Kind(any) => any.iter().any(|pattern| pattern.matches(subject.kind)),
            Term::State(any) => any.contains(&subject.state),
            Term::Reason(any) => subject.reason.is_some_and(|reason| any.contains(&reason)),
            Term::Label(name, any) => subject
                .labels
                .get(name)
                .is_some_and(|value| any.iter().any(|pattern| pattern.matches(value))),
            Term::Older(than) => age > *than,
            Term::Younger(than) => age < *than,
        })
    }
}

impl Pattern {
    fn parse(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some(begin) => Self { text: begin.to_owned(), prefix: true },
            None => Self { text: text.to_owned(), prefix: false },
        }
    }

    fn matches(&self, name: &str) -> bool {
        if self.prefix { name.starts_with(&self.text) } else { name == self.text }
    }
}

fn invalid<T>(message: String) -> Result<T, Refusal> {
    Err(Refusal::new(Code::Invalid, message))
}

fn parse_term(term: &str) -> Result<Term, Refusal> {
    let shown: String = term.chars().take(60).collect();
    let Some((field, value)) = term.split_once(':').filter(|(_, value)| !value.is_empty()) else {
        return invalid(format!("filter term {shown:?} is not field:value, as in state:dead"));
    };
    let patterns = || value.split(',').map(Pattern::parse).collect::<Vec<_>>();
    match field {
        "queue" => Ok(Term::Queue(patterns())),
        "kind" => Ok(Term::Kind(patterns())),
        "state" => parse_words(value, "state", State::parse, &State::ALL.map(State::as_str))
            .map(Term::State),
        "reason" => parse_words(
            value,
            "reason",
            DeadReason::parse,
            &DeadReason::ALL.map(DeadReason::as_str),
        )
        .map(Term::Reason),
        "age" => match (value.strip_prefix('>'), value.strip_prefix('<')) {
            (Some(span), _) => span::parse(span).map(Term::Older),
            (_, Some(span)) => span::parse(span).map(Term::Younger),
            _ => invalid(format!("filter term {shown:?} needs > or <, as in age:>1h")),
        },
        _ => match field.strip_prefix("label.").filter(|name| !name.is_empty()) {
            Some(name) => Ok(Term::Label(name.to_owned(), patterns())),
            None => invalid(format!(
                "filter field {field:?} is unknown; known are queue, kind, state, reason, age, label.NAME"
            )),
        },
    }
}

fn parse_words<T>(
    value: &str,
    what: &str,
    parse: impl Fn(&str) -> Option<T>,
    known: &[&str],
) -> Result<Vec<T>, Refusal> {
    let word = |word: &str| {
        parse(word).ok_or_else(|| {
            let shown: String = word.chars().take(40).collect();
            let known = known.join(", ");
            Refusal::new(Code::Invalid, format!("{what} {shown:?} is unknown; known are {known}"))
        })
    };
    value.split(',').map(word).collect()
}

impl std::str::FromStr for Filter {
    type Err = Refusal;
    fn from_str(text: &str) -> Result<Self, Refusal> {
        Self::parse(text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.text, if self.prefix { "*" } else { "" })
    }
}

impl fmt::Display for Filter {
    /// Writes the filter so that it reads back as the same one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn join<T: ToString>(words: impl IntoIterator<Item = T>) -> String {
            words.into_iter().map(|word| word.to_string()).collect::<Vec<_>>().join(",")
        }
        for (at, term) in self.terms.iter().enumerate() {
            if at > 0 {
                f.write_str(" ")?;
            }
            match term {
                Term::Queue(any) => write!(f, "queue:{}", join(any)),
                Term::Kind(any) => write!(f, "kind:{}", join(any)),
                Term::State(any) => write!(f, "state:{}", join(any)),
                Term::Reason(any) => write!(f, "reason:{}", join(any)),
                Term::Label(name, any) => write!(f, "label.{name}:{}", join(any)),
                Term::Older(than) => write!(f, "age:>{}", span::format(*than)),
                Term::Younger(than) => write!(f, "age:<{}", span::format(*than)),
            }?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(filter: &str) -> bool {
        let labels = [("tenant", "acme")].into_iter().collect();
        let subject = Subject {
            queue: "mail",
            kind: "email.send",
            state: State::Dead,
            reason: Some(DeadReason::Lost),
            enqueued_at: Timestamp(0),
            labels: &labels,
        };
        Filter::parse(filter).unwrap().matches(&subject, Timestamp(3_600_000))
    }

    #[test]
    fn terms_are_joined_by_and_alternatives_by_or() {
        for yes in [
            "",
            "queue:mail",
            "queue:bulk,mail kind:email.*",
            "state:dead,retryable reason:lost",
            "label.tenant:ac*",
            "age:>59m age:<61m",
        ] {
            assert!(matches(yes), "{yes}");
        }
        for no in ["queue:mai", "kind:sms.*", "state:running", "label.other:acme", "age:>1h"] {
            assert!(!matches(no), "{no}");
        }
    }

    #[test]
    fn a_filter_tells_what_a_store_can_look_for() {
        let filter = |text: &str| Filter::parse(text).unwrap();
        assert_eq!(filter("queue:mail").only_states(), None);
        assert_eq!(filter("reason:lost").only_states(), Some(vec![State::Dead]));
        let both = filter("state:dead,running state:running,available");
        assert_eq!(both.only_states(), Some(vec![State::Running]));
        assert_eq!(filter("state:running reason:lost").only_states(), Some(Vec::new()));
        let ages = filter("age:>1h age:>2h age:<5h age:<4h");
        assert_eq!(ages.older_than(), Some(Duration::from_hours(2)));
        assert_eq!(ages.younger_than(), Some(Duration::from_hours(4)));
    }

    #[test]
    fn a_term_that_means_nothing_is_refused_with_what_it_could_be() {
        for (text, hint) in [
            ("mail", "field:value"),
            ("state:broken", "scheduled, available"),
            ("age:1h", "> or <"),
            ("colour:red", "known are queue"),
            ("age:>soon", "not a duration"),
        ] {
            let refusal = Filter::parse(text).unwrap_err();
            assert!(refusal.message.contains(hint), "{text}: {refusal}");
        }
        assert!(Filter::parse(&"queue:a ".repeat(FILTER_TERMS_MAX)).is_ok());
        assert!(Filter::parse(&"queue:a ".repeat(FILTER_TERMS_MAX + 1)).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_answered_and_what_is_written_reads_back(text in "(queue|kind|state|age|label.x|.)?:?[a-z*,<>0-9]{0,8}( .{0,12})?") {
            if let Ok(filter) = Filter::parse(&text) {
                prop_assert_eq!(Filter::parse(&filter.to_string()), Ok(filter));
            }
        }
    }
}
