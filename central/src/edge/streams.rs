//! How many sync streams this replica has, how long they live, and their common end.

use std::{sync::Arc, time::Duration};

use rand::RngExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::{config::Config, error::ServiceError};

/// Streams of one replica.
const MOST: usize = 20_000;

/// The settings and bounds of sync streams.
pub(crate) struct Streams {
    pub(super) keepalive: Duration,
    max_age: Duration,
    room: Arc<Semaphore>,
    end: CancellationToken,
}

impl Streams {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            keepalive: config.stream_keepalive,
            max_age: config.stream_max_age,
            room: Arc::new(Semaphore::new(MOST)),
            end: CancellationToken::new(),
        }
    }

    /// Ends all of them; their sidecars connect elsewhere.
    pub(crate) fn end(&self) {
        self.end.cancel();
    }

    /// Cancelled when all streams have to end.
    pub(super) fn ending(&self) -> CancellationToken {
        self.end.clone()
    }

    /// Room for one more stream.
    pub(super) fn enter(&self) -> Result<OwnedSemaphorePermit, ServiceError> {
        Arc::clone(&self.room)
            .try_acquire_owned()
            .map_err(|_| ServiceError::TooManyStreams)
    }

    /// How long the next stream may live: the configured age, give or take a tenth, so that streams
    /// opened together do not end together.
    pub(super) fn lifetime(&self) -> Duration {
        self.max_age.mul_f64(rand::rng().random_range(0.9..1.1))
    }
}
