//! Random histories: the same steps are taken with a store and with the specification, and every
//! answer and everything that can be seen must agree after every step. A history that does not is
//! shrunk, and printed with the seed that repeats it.
//!
//! Only epochs differ between stores: they are compared by their order within a task. After a
//! restart the histories renew every lease at once, for a store may promise more time than another
//! one, but never less; and progress is not compared, for it need not be durable.

mod play;
mod step;

use std::fmt::Debug;

use proptest::collection::vec;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use self::play::Player;
use self::step::{Step, steps};
use crate::Rig;
use crate::memory::MemoryRig;
use crate::prelude::Must;

/// How many histories, how long, and from which seed.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Histories.
    pub histories: u64,
    /// Steps of each, at most.
    pub length: usize,
    /// The first history's seed; each further one has the next number.
    pub seed: u64,
    /// Whether the store is reopened after every step, not only where a history says so.
    pub reopening: bool,
}

impl Plan {
    /// What the environment says: `HAULIER_HISTORIES` (64), `HAULIER_LENGTH` (200), `HAULIER_SEED`
    /// (1).
    pub fn from_env() -> Self {
        let read = |name: &str, default: u64| match std::env::var(name) {
            Ok(text) => match text.parse() {
                Ok(number) => number,
                Err(error) => panic!("{name} is {text:?}: {error}; give it a number"),
            },
            Err(_) => default,
        };
        Self {
            histories: read("HAULIER_HISTORIES", 64),
            length: usize::try_from(read("HAULIER_LENGTH", 200)).must(),
            seed: read("HAULIER_SEED", 1),
            reopening: false,
        }
    }

    /// The same, with a restart after every step.
    #[must_use]
    pub fn reopening(self) -> Self {
        Self { reopening: true, ..self }
    }
}

/// Plays random histories with the rig and with the specification.
///
/// Panics with the shortest history found that does not agree, and how to repeat it.
pub fn check<R: Rig>(plan: Plan) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().must();
    for seed in (plan.seed..).take(usize::try_from(plan.histories).must()) {
        let config = Config {
            cases: 1,
            failure_persistence: None,
            max_shrink_iters: 4_000,
            ..Config::default()
        };
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(config, rng);
        let history = vec(steps(), 1..=plan.length);
        let played = runner.run(&history, |history| {
            runtime.block_on(play::<R>(&history, plan.reopening)).map_err(TestCaseError::fail)
        });
        if let Err(failure) = played {
            panic!(
                "{}\nRepeat it with HAULIER_SEED={seed} HAULIER_HISTORIES=1 HAULIER_LENGTH={}.",
                explain(&failure),
                plan.length
            );
        }
    }
}

/// One history, with both.
async fn play<R: Rig>(history: &[Step], reopening: bool) -> Result<(), String> {
    let mut model = Player::new(MemoryRig::fresh().await);
    let mut store = Player::new(R::fresh().await);
    let restart = reopening.then_some(&Step::Reopen);
    let steps = history.iter().flat_map(|step| std::iter::once(step).chain(restart));
    for (number, step) in steps.enumerate() {
        let expected = model.take(step).await;
        let found = store.take(step).await;
        agree(number, step, "the answer", &expected, &found)?;
        let expected = model.look().await;
        let found = store.look().await;
        agree(number, step, "what is seen afterwards", &expected, &found)?;
    }
    Ok(())
}

fn agree(
    number: usize,
    step: &Step,
    what: &str,
    expected: &[String],
    found: &[String],
) -> Result<(), String> {
    let lines = expected.len().max(found.len());
    let line =
        |lines: &[String], at: usize| lines.get(at).map_or("nothing", |line| line).to_owned();
    match (0..lines).find(|&at| expected.get(at) != found.get(at)) {
        None => Ok(()),
        Some(at) => Err(format!(
            "step {number}, {step:?}: {what} differs\n  expected {}\n  found    {}",
            line(expected, at),
            line(found, at)
        )),
    }
}

fn explain<T: Debug>(failure: &TestError<Vec<T>>) -> String {
    match failure {
        TestError::Fail(reason, history) => {
            let steps: Vec<String> = history
                .iter()
                .enumerate()
                .map(|(number, step)| format!("  {number}: {step:?}"))
                .collect();
            format!("{reason}\nThe history, shrunk to {} steps:\n{}", steps.len(), steps.join("\n"))
        }
        TestError::Abort(reason) => format!("the history could not be played: {reason}"),
    }
}

/// A test that plays random histories with a rig and with the specification; with `reopening`, the
/// store is reopened after every step of them.
///
/// ```
/// use haulier_conformance::MemoryRig;
/// haulier_conformance::histories!(MemoryRig);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! histories {
    ($rig:ty) => {
        #[test]
        fn random_histories_agree_with_the_specification() {
            $crate::model::check::<$rig>($crate::model::Plan::from_env());
        }
    };
    ($rig:ty, reopening) => {
        #[test]
        fn random_histories_agree_although_the_store_is_reopened_after_every_step() {
            $crate::model::check::<$rig>($crate::model::Plan::from_env().reopening());
        }
    };
}
