//! Enumerations on the wire. A value that this release does not know is refused, never guessed.

use haulier_core::{
    Cause, DeadReason, Directive, Durability, Ended, Held, OnConflict, Result, State, Until,
};

use crate::pb;
use crate::wrong::Wrong;

/// A core enumeration and its wire twin. `default` is what an absent field means, if anything.
macro_rules! twins {
    ($(
        $encode:ident, $decode:ident, $core:ident, default $default:expr, { $($word:ident),+ }
    )+) => {$(
        pub(crate) fn $encode(value: $core) -> i32 {
            match value {
                $($core::$word => pb::$core::$word as i32,)+
            }
        }

        pub(crate) fn $decode(number: i32, field: &'static str) -> Result<$core, Wrong> {
            match pb::$core::try_from(number) {
                $(Ok(pb::$core::$word) => Ok($core::$word),)+
                Ok(pb::$core::Unspecified) => {
                    let default: Option<$core> = $default;
                    default.ok_or_else(|| Wrong::new(field, "is missing"))
                }
                Err(_) => Err(Wrong::new(field, format!("the value {number} is unknown"))),
            }
        }
    )+};
}

twins! {
    state, decode_state, State, default None,
        { Scheduled, Available, Running, Retryable, Completed, Cancelled, Dead }
    reason, decode_reason, DeadReason, default None, { Exhausted, Rejected, Lost, Expired }
    durability, decode_durability, Durability, default None, { D0, D1, D2, D3 }
    until, decode_until, Until, default Some(Until::Finish), { Start, Finish }
    on_conflict, decode_on_conflict, OnConflict, default Some(OnConflict::Return),
        { Return, Reject, Replace }
    directive, decode_directive, Directive, default None, { Run, Quiet, Stop }
    held, decode_held, Held, default None, { Yes, Cancel, Stale }
    cause, decode_cause, Cause, default Some(Cause::Error), { Error, Timeout, Panic, Decode }
    ended, decode_ended, Ended, default None,
        { Complete, Fail, Reject, Snooze, Release, Cancelled, Lost }
}

/// A value that may be absent.
pub(crate) fn optional<T>(
    number: i32,
    field: &'static str,
    decode: impl Fn(i32, &'static str) -> Result<T, Wrong>,
) -> Result<Option<T>, Wrong> {
    if number == 0 { Ok(None) } else { decode(number, field).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back_and_an_unknown_one_is_refused() {
        for word in State::ALL {
            assert_eq!(decode_state(state(word), "state").unwrap(), word);
        }
        for word in Ended::ALL {
            assert_eq!(decode_ended(ended(word), "ended").unwrap(), word);
        }
        for word in DeadReason::ALL {
            assert_eq!(decode_reason(reason(word), "reason").unwrap(), word);
        }
        let error: haulier_core::Error = decode_state(99, "state").unwrap_err().into();
        assert_eq!(error.fields()[0].field, "state");
        assert!(decode_state(0, "state").is_err(), "absent is no state");
        assert_eq!(decode_cause(0, "cause").unwrap(), Cause::Error);
    }
}
