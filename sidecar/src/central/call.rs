//! The calls beside the sync stream, and how they fail.

use std::path::PathBuf;
use std::time::Duration;

use protocol::v1::{
    AllocateRangeRequest, ExchangeTokenRequest, ExchangeTokenResponse,
    allocate_range_response::Outcome,
};
use tonic::{Code, Request, Status};

use super::Connection;

const ALLOCATE_DEADLINE: Duration = Duration::from_secs(10);
const EXCHANGE_DEADLINE: Duration = Duration::from_secs(5);

/// Why a call to central gave no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// The token this workload proves itself with cannot be read.
    #[error("cannot read the workload's token {}: {problem}", .file.display())]
    NoToken {
        /// `SIGNET_TOKEN_FILE`.
        file: PathBuf,
        /// Why not.
        problem: String,
    },
    /// Central does not take the workload's token.
    #[error("central does not know this workload: {0}")]
    Unauthenticated(String),
    /// The tenant does not take the workload's namespace, or is closed.
    #[error("central refuses this workload: {0}")]
    Denied(String),
    /// What was asked for does not exist.
    #[error("central cannot give what was asked for: {0}")]
    Invalid(String),
    /// Central, or its store, cannot be reached.
    #[error("central cannot be reached: {0}")]
    Unreachable(String),
}

impl CallError {
    /// A short word for logs and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoToken { .. } => "no_token",
            Self::Unauthenticated(_) => "unauthenticated",
            Self::Denied(_) => "denied",
            Self::Invalid(_) => "invalid",
            Self::Unreachable(_) => "unreachable",
        }
    }
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        let text = described(&status);
        match status.code() {
            Code::Unauthenticated => Self::Unauthenticated(text),
            Code::PermissionDenied => Self::Denied(text),
            Code::InvalidArgument | Code::NotFound | Code::FailedPrecondition => {
                Self::Invalid(text)
            }
            _ => Self::Unreachable(text),
        }
    }
}

/// A status with the causes of a transport error, which its message leaves out.
fn described(status: &Status) -> String {
    let mut text = match status.message() {
        "" => status.code().to_string(),
        message => message.to_owned(),
    };
    let mut source = std::error::Error::source(status);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// What central answers when ids are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocation {
    /// These ids are the sidecar's for ever.
    Given(protocol::v1::Range),
    /// The generator has none left.
    Exhausted,
    /// The namespace has no such generator.
    UnknownGenerator,
}

impl Connection {
    /// Asks for about `count` ids of a generator.
    ///
    /// # Errors
    /// Central could not be asked or did not answer in time. The ids it may have committed for the
    /// call belong to nobody then.
    pub async fn allocate(&self, generator: &str, count: u64) -> Result<Allocation, CallError> {
        let message = AllocateRangeRequest {
            tenant: self.tenant().to_owned(),
            generator: generator.to_owned(),
            count,
            instance: self.instance().to_owned(),
        };
        let request = self.authorized(within(message, ALLOCATE_DEADLINE)).await?;
        let answer = self.client().allocate_range(request).await?.into_inner();
        match answer.outcome {
            Some(Outcome::Range(range)) => Ok(Allocation::Given(range)),
            Some(Outcome::Exhausted(_)) => Ok(Allocation::Exhausted),
            Some(Outcome::UnknownGenerator(_)) => Ok(Allocation::UnknownGenerator),
            None => Err(CallError::Invalid("the answer has no outcome".to_owned())),
        }
    }

    /// Exchanges the workload's token for one of the tenant. `audience`: empty for the default.
    ///
    /// # Errors
    /// Central could not be asked, did not answer in time, or refuses.
    pub async fn exchange(&self, audience: &str) -> Result<ExchangeTokenResponse, CallError> {
        let message = ExchangeTokenRequest {
            tenant: self.tenant().to_owned(),
            audience: audience.to_owned(),
        };
        let request = self.authorized(within(message, EXCHANGE_DEADLINE)).await?;
        Ok(self.client().exchange_token(request).await?.into_inner())
    }
}

fn within<T>(message: T, deadline: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_who_must_act() {
        let reason = |code| CallError::from(Status::new(code, "why")).reason();
        assert_eq!(reason(Code::Unavailable), "unreachable");
        assert_eq!(reason(Code::DeadlineExceeded), "unreachable");
        assert_eq!(reason(Code::Internal), "unreachable");
        assert_eq!(reason(Code::Unauthenticated), "unauthenticated");
        assert_eq!(reason(Code::PermissionDenied), "denied");
        assert_eq!(reason(Code::InvalidArgument), "invalid");
    }

    #[test]
    fn a_status_without_message_is_described_by_its_code() {
        let error = CallError::from(Status::new(Code::Unavailable, ""));
        assert_eq!(
            error.to_string(),
            "central cannot be reached: The service is currently unavailable"
        );
    }
}
