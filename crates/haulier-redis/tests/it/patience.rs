//! Patience with a Redis that is away.

use std::time::Duration;

use haulier_core::Inspect;
use haulier_redis::RedisStore;

/// Long enough for a failover on a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_mins(5);

/// Waits for something that a Redis which is away will do when it is back.
pub async fn in_time<T>(what: &str, it: impl Future<Output = T>) -> T {
    let came = tokio::time::timeout(PATIENCE, it).await;
    came.unwrap_or_else(|elapsed| panic!("it never came to pass that {what}: {elapsed}"))
}

/// Calls until somebody serves: what fails meanwhile may be tried again.
pub async fn until_it_answers(store: &RedisStore) {
    let answers = async {
        while let Err(error) = store.queues().await {
            assert!(error.is_retryable(), "{error:?}");
            tokio::task::yield_now().await;
        }
    };
    in_time("the store answers", answers).await;
}
