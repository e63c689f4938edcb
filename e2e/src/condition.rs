//! Waiting for something to become true, bounded, with what was last seen in the error.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// What one look showed.
#[derive(Debug)]
pub enum Observed<T> {
    /// It is true; here is what was waited for.
    Yes(T),
    /// Not yet; this is what was seen instead.
    NotYet(String),
}

impl<T> Observed<T> {
    /// `Yes` when the value is there, else `NotYet` with these words.
    pub fn from_option(value: Option<T>, otherwise: impl Into<String>) -> Self {
        match value {
            Some(value) => Self::Yes(value),
            None => Self::NotYet(otherwise.into()),
        }
    }
}

/// Looks until it is true. An error of a look counts as "not yet": clusters stumble.
///
/// # Errors
/// It did not become true in time: says what was waited for, how long, and what was seen last.
pub async fn await_condition<T>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> Result<Observed<T>>,
) -> Result<T> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(100);
    loop {
        // A look that hangs must not outlast the bound.
        let left = within
            .saturating_sub(start.elapsed())
            .max(Duration::from_secs(5));
        let seen = match tokio::time::timeout(left, look()).await {
            Ok(Ok(Observed::Yes(value))) => return Ok(value),
            Ok(Ok(Observed::NotYet(seen))) => seen,
            Ok(Err(error)) => format!("an error: {error:#}"),
            Err(_) => "no answer".to_owned(),
        };
        if start.elapsed() >= within {
            bail!(
                "waited {} s for {what}; last seen: {seen}",
                within.as_secs()
            );
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Observed, await_condition};

    #[tokio::test(start_paused = true)]
    async fn gives_back_what_was_waited_for() {
        let mut looks = 0;
        let seen = await_condition("three", Duration::from_secs(60), async || {
            looks += 1;
            Ok(Observed::from_option(
                (looks == 3).then_some(looks),
                format!("{looks}"),
            ))
        })
        .await;
        assert_eq!(seen.unwrap(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn says_what_was_seen_last_even_an_error() {
        let error = await_condition(
            "rain",
            Duration::ZERO,
            async || -> anyhow::Result<Observed<()>> { anyhow::bail!("a clear sky") },
        )
        .await
        .unwrap_err()
        .to_string();
        assert_eq!(
            error,
            "waited 0 s for rain; last seen: an error: a clear sky"
        );
    }
}
