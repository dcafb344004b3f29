//! Crashes at every call of the disk, calls of the disk that fail, and files that are damaged: on a
//! simulated disk, on one thread, the same every time.
//!
//! | variable | what it does |
//! |---|---|
//! | `HAULIER_CAMPAIGN=full` | more fates a call, most calls of the recovery, every seventh byte |
//! | `HAULIER_CRASH="call=17 fate=torn seed=3 again=0"` | that crash alone |
//! | `HAULIER_FAULT="call=17 how=device for_ever=false"` | that failing call alone |

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a campaign tells its totals")]

mod crashes;
mod damage;
mod failures;
mod histories;
mod ledger;
mod machine;
mod planted;
mod stalls;
mod work;
