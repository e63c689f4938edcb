//! Why a token does not hold.

/// Why a token was refused. Each has a stable code and a short reason; none repeats the token.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Rejection {
    /// Not three base64url parts, not JSON, members doubled or of the wrong type, a header with
    /// `crit`, or a `typ` that is not an access token's.
    #[error("the token is not a well-formed JSON Web Token")]
    Malformed,
    /// `alg: none`, or an empty signature.
    #[error("the token is not signed")]
    Unsigned,
    /// The header asks for an algorithm that is not served, or not the one of the key it names.
    #[error("the token's algorithm is not the one of its key")]
    AlgorithmNotAllowed,
    /// The header names no key, or one that is not among the issuer's.
    #[error("the token names no key of this issuer: get a new token, or wait for the key set")]
    UnknownKey,
    /// The signature does not belong to the content.
    #[error("the token's signature does not hold")]
    BadSignature,
    /// `exp` has passed.
    #[error("the token has expired: get a new one")]
    Expired,
    /// `nbf` lies ahead.
    #[error("the token is not valid yet: check the clocks of both sides")]
    NotYetValid,
    /// `iat` lies ahead.
    #[error("the token was issued in the future: check the clocks of both sides")]
    IssuedInFuture,
    /// `iss` is another issuer.
    #[error("the token was issued by somebody else")]
    WrongIssuer,
    /// `aud` names somebody else.
    #[error("the token is meant for another audience: ask for a token with this one")]
    WrongAudience,
    /// A claim without which no token holds is absent.
    #[error("the token has no claim {claim:?}")]
    MissingClaim {
        /// The claim's name.
        claim: &'static str,
    },
    /// More than [`MAX_TOKEN_BYTES`](crate::MAX_TOKEN_BYTES).
    #[error("the token is larger than 16 KiB")]
    TooLarge,
}

impl Rejection {
    /// A stable code for error answers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "SIGNET-TOKEN-0001",
            Self::Unsigned => "SIGNET-TOKEN-0002",
            Self::AlgorithmNotAllowed => "SIGNET-TOKEN-0003",
            Self::UnknownKey => "SIGNET-TOKEN-0004",
            Self::BadSignature => "SIGNET-TOKEN-0005",
            Self::Expired => "SIGNET-TOKEN-0006",
            Self::NotYetValid => "SIGNET-TOKEN-0007",
            Self::IssuedInFuture => "SIGNET-TOKEN-0008",
            Self::WrongIssuer => "SIGNET-TOKEN-0009",
            Self::WrongAudience => "SIGNET-TOKEN-0010",
            Self::MissingClaim { .. } => "SIGNET-TOKEN-0011",
            Self::TooLarge => "SIGNET-TOKEN-0012",
        }
    }

    /// A stable word for metrics' labels and machine-read answers.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unsigned => "unsigned",
            Self::AlgorithmNotAllowed => "algorithm_not_allowed",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::IssuedInFuture => "issued_in_future",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::MissingClaim { .. } => "missing_claim",
            Self::TooLarge => "too_large",
        }
    }
}
