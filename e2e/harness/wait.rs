//! Waiting with a deadline.
//!
//! Invariant: a wait that ends in vain says what it waited for and what it saw last.

use std::time::{Duration, Instant};

/// How often something is looked at. Short, so that a case takes no longer than the operator.
const LOOK: Duration = Duration::from_millis(50);

/// Looks again and again until `look` gives a value; what it says it saw is the failure's message.
pub(crate) async fn within<T>(
    deadline: Duration,
    expected: &str,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let start = Instant::now();
    loop {
        let seen = match look().await {
            Ok(value) => return value,
            Err(seen) => seen,
        };
        assert!(
            start.elapsed() < deadline,
            "expected within {deadline:?}: {expected}\nseen: {seen}"
        );
        tokio::time::sleep(LOOK).await;
    }
}

/// `within` the time that anything in these cases may take.
pub(crate) async fn until<T>(expected: &str, look: impl AsyncFnMut() -> Result<T, String>) -> T {
    within(Duration::from_secs(240), expected, look).await
}
