//! What to do with an attempt that failed: a pure decision of policy, taken outside the store.

use std::time::Duration;

use crate::entropy::Entropy;
use crate::error::{Code, Refusal};
use crate::lease::{Failure, Outcome};
use crate::limits::DELAY_MAX;
use crate::probe::planted;
use crate::task::Policy;

/// The pause between attempts: `base × factor^(attempt − 1)`, at most `max`, and then up to
/// `jitter` of it more. Jitter only delays (I5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Backoff {
    /// The pause after the first attempt.
    pub base: Duration,
    /// The longest pause, jitter apart.
    pub max: Duration,
    /// By what each further pause grows, in thousandths: 2000 doubles.
    pub factor_permille: u32,
    /// How much is added at most, in thousandths of the pause: 200 is a fifth.
    pub jitter_permille: u32,
}

impl Default for Backoff {
    /// 1 s, doubled up to 1 h, with up to a fifth more.
    fn default() -> Self {
        Self {
            base: Duration::from_secs(1),
            max: Duration::from_hours(1),
            factor_permille: 2_000,
            jitter_permille: 200,
        }
    }
}

impl Backoff {
    /// The same pause every time, without jitter.
    pub const fn fixed(pause: Duration) -> Self {
        Self { base: pause, max: pause, factor_permille: 1_000, jitter_permille: 0 }
    }

    /// Checks the numbers against the limits.
    ///
    /// # Errors
    /// [`Code::Invalid`] with what is allowed.
    pub fn check(&self) -> Result<(), Refusal> {
        let invalid = |message: &str| Err(Refusal::new(Code::Invalid, message));
        if self.base > DELAY_MAX || self.max > DELAY_MAX {
            return invalid("backoff.base and backoff.max are at most ten years");
        }
        if self.base > self.max {
            return invalid(&format!(
                "backoff.base is {:?}, longer than backoff.max, {:?}; raise max, or lower base",
                self.base, self.max
            ));
        }
        if !(1_000..=100_000).contains(&self.factor_permille) {
            return invalid("backoff.factor goes from 1 to 100");
        }
        if self.jitter_permille > 1_000 {
            return invalid("backoff.jitter goes from 0 to 1");
        }
        Ok(())
    }

    /// The pause after the given attempt (from 1), without jitter.
    pub fn pause(&self, attempt: u32) -> Duration {
        let factor = f64::from(self.factor_permille) / 1_000.0;
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = self.base.as_secs_f64() * factor.powi(exponent);
        Duration::try_from_secs_f64(seconds).map_or(self.max, |pause| pause.min(self.max))
    }

    /// The pause after the given attempt, with jitter.
    pub fn pause_with_jitter(&self, attempt: u32, entropy: &dyn Entropy) -> Duration {
        let pause = self.pause(attempt);
        let most =
            crate::clock::millis(pause).saturating_mul(u64::from(self.jitter_permille)) / 1_000;
        let jitter = Duration::from_millis(entropy.up_to(most));
        if planted("jitter-downwards") {
            return pause.saturating_sub(jitter);
        }
        pause + jitter
    }
}

/// Decides what a failed attempt leads to. `proposed` is the pause that the handler asked for, if
/// it did.
pub fn decide(
    policy: &Policy,
    attempt: u32,
    failure: Failure,
    proposed: Option<Duration>,
    entropy: &dyn Entropy,
) -> Outcome {
    let retry_in = (attempt < policy.max_attempts).then(|| match proposed {
        Some(pause) => pause.min(DELAY_MAX),
        None => policy.backoff.pause_with_jitter(attempt, entropy),
    });
    Outcome::Fail { failure, retry_in }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Cause, SeededEntropy};

    #[test]
    fn the_default_doubles_from_a_second_to_an_hour() {
        let backoff = Backoff::default();
        let seconds: Vec<u64> = [1, 2, 3, 12, 13, 1_000].map(|n| backoff.pause(n).as_secs()).into();
        assert_eq!(seconds, [1, 2, 4, 2_048, 3_600, 3_600]);
    }

    #[test]
    fn a_first_pause_is_at_most_the_longest_one() {
        let backoff = |base, max| {
            let (base, max) = (Duration::from_secs(base), Duration::from_secs(max));
            Backoff { base, max, ..Backoff::default() }.check()
        };
        assert_eq!(backoff(60, 60), Ok(()));
        let refused = backoff(7_200, 3_600).unwrap_err();
        assert_eq!(refused.code, Code::Invalid);
        let text =
            "backoff.base is 7200s, longer than backoff.max, 3600s; raise max, or lower base";
        assert_eq!(refused.message, text);
    }

    #[test]
    fn the_last_attempt_is_not_followed_by_another() {
        let policy = Policy { max_attempts: 3, ..Policy::default() };
        let dice = SeededEntropy::from_u64(1);
        let failure = Failure::new(Cause::Error, "no");
        let decided = |attempt| match decide(&policy, attempt, failure.clone(), None, &dice) {
            Outcome::Fail { retry_in, .. } => retry_in.is_some(),
            other => panic!("{other:?}"),
        };
        assert_eq!([1, 2, 3, 4].map(decided), [true, true, false, false]);
    }

    proptest! {
        #[test]
        fn jitter_only_adds_and_never_more_than_its_share(
            attempt in 1u32..2_000, base_ms in 0u64..100_000, max_ms in 0u64..10_000_000,
            factor in 1_000u32..100_000, jitter in 0u32..=1_000, seed in any::<u64>(),
        ) {
            let backoff = Backoff {
                base: Duration::from_millis(base_ms),
                max: Duration::from_millis(max_ms),
                factor_permille: factor,
                jitter_permille: jitter,
            };
            let pause = backoff.pause(attempt);
            let jittered = backoff.pause_with_jitter(attempt, &SeededEntropy::from_u64(seed));
            prop_assert!(pause <= backoff.max);
            prop_assert!(jittered >= pause, "I5: jitter only delays");
            let most = pause.mul_f64(1.0 + f64::from(jitter) / 1_000.0);
            prop_assert!(jittered <= most + Duration::from_millis(1));
        }
    }
}
