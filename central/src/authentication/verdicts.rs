//! A short memory of tokens that were found good.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sha2::{Digest as _, Sha256};

use super::Caller;

/// Callers by the hash of their token, each for a short time, at most so many.
#[derive(Debug)]
pub(super) struct Verdicts {
    lifetime: Duration,
    capacity: usize,
    known: Mutex<HashMap<[u8; 32], (Instant, Caller)>>,
}

impl Verdicts {
    pub(super) fn new(lifetime: Duration, capacity: usize) -> Self {
        Self {
            lifetime,
            capacity,
            known: Mutex::new(HashMap::new()),
        }
    }

    /// The caller that was found to bear this token less than the lifetime ago.
    pub(super) fn get(&self, bearer: &str, now: Instant) -> Option<Caller> {
        let known = self.lock();
        let (until, caller) = known.get::<[u8; 32]>(&Sha256::digest(bearer.as_bytes()).into())?;
        (now < *until).then(|| caller.clone())
    }

    /// Remembers a caller for the lifetime, or less when its token ends sooner.
    pub(super) fn put(&self, bearer: &str, caller: Caller, now: Instant, token_lives: Duration) {
        let mut known = self.lock();
        if known.len() >= self.capacity {
            known.retain(|_, (until, _)| now < *until);
        }
        if known.len() < self.capacity {
            let until = now + self.lifetime.min(token_lives);
            known.insert(Sha256::digest(bearer.as_bytes()).into(), (until, caller));
        }
    }

    // No code panics while it holds the lock, and a map of verdicts has no half-made state.
    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], (Instant, Caller)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Verdicts;
    use crate::authentication::Caller;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn a_verdict_lives_its_time_and_not_longer() {
        let verdicts = Verdicts::new(Duration::from_secs(10), 8);
        let start = Instant::now();

        verdicts.put("t", Caller::Operator, start, LONG);

        assert_eq!(
            verdicts.get("t", start + Duration::from_secs(9)),
            Some(Caller::Operator)
        );
        assert_eq!(verdicts.get("t", start + Duration::from_secs(10)), None);
        assert_eq!(verdicts.get("u", start), None);
    }

    #[test]
    fn a_verdict_never_outlives_its_token() {
        let verdicts = Verdicts::new(Duration::from_secs(10), 8);
        let start = Instant::now();

        verdicts.put("t", Caller::Operator, start, Duration::from_secs(2));

        assert_eq!(verdicts.get("t", start + Duration::from_secs(3)), None);
    }

    #[test]
    fn a_full_memory_forgets_what_is_over_first() {
        let verdicts = Verdicts::new(Duration::from_secs(10), 2);
        let start = Instant::now();
        verdicts.put("a", Caller::Operator, start, LONG);
        verdicts.put("b", Caller::Operator, start + Duration::from_secs(5), LONG);

        verdicts.put("c", Caller::Operator, start + Duration::from_secs(6), LONG);
        assert_eq!(verdicts.get("c", start + Duration::from_secs(6)), None);

        verdicts.put("c", Caller::Operator, start + Duration::from_secs(11), LONG);
        assert!(verdicts.get("c", start + Duration::from_secs(11)).is_some());
        assert!(verdicts.get("b", start + Duration::from_secs(11)).is_some());
    }
}
