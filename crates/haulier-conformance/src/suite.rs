//! The list of cases, and the macros that turn it into tests. `tests/it` proves that the list is complete.

/// Hands the list to an arm of `__cases!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __with_cases {
    ($($arm:tt)*) => {
        $crate::__cases! { $($arm)*;
            enqueue {
                an_enqueued_task_is_stored_and_delivered_byte_for_byte,
                a_repeated_enqueue_gives_the_same_task,
                the_same_id_with_other_work_is_a_conflict,
            }
        }
    };
}

/// One `#[tokio::test]` for each case of the contract, in a module for each noun.
///
/// ```ignore
/// haulier_conformance::suite!(MyRig);
/// ```
///
/// The crate that calls it needs `tokio` with `macros` and `rt-multi-thread` among its
/// dev-dependencies.
#[macro_export]
macro_rules! suite {
    ($rig:ty) => {
        $crate::__with_cases! { tests $rig }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __cases {
    (tests $rig:ty; $($file:ident { $($case:ident,)* })*) => {
        $(
            mod $file {
                use super::*;
                $(
                    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                    async fn $case() {
                        let mut rig = <$rig as $crate::Rig>::fresh().await;
                        $crate::cases::$file::$case(&mut rig).await;
                    }
                )*
            }
        )*
    };
    (names; $($file:ident { $($case:ident,)* })*) => {
        &[$($((stringify!($file), stringify!($case)),)*)*]
    };
}

/// Every case: its file and its name.
pub const CASES: &[(&str, &str)] = __with_cases! { names };
