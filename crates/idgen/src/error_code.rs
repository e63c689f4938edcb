//! The codes that the id interfaces answer with.

use std::fmt;

use serde::Serialize;

/// Why a request for ids failed: the table every interface shares, with the HTTP status of each.
///
/// ```
/// use idgen::ErrorCode;
///
/// assert_eq!(ErrorCode::SegmentExhausted.as_str(), "IDGEN-SEG-1001");
/// assert_eq!(ErrorCode::SegmentExhausted.http_status(), 503);
/// assert!(ErrorCode::SegmentExhausted.may_retry());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorCode {
    /// A parameter is wrong.
    InvalidRequest,
    /// The caller did not prove who it is.
    Unauthorized,
    /// The caller asks too often.
    RateLimitExceeded,
    /// A fault of ours.
    InternalError,
    /// A part that is needed is away.
    ServiceUnavailable,
    /// There is no generator of this name for the caller.
    UnknownGenerator,
    /// No id is at hand: the ring is empty and ranges did not arrive in time, or the segment has none
    /// left.
    SegmentExhausted,
    /// A range could not be committed.
    SegmentAllocateFailed,
    /// Central, or its store, cannot be reached, and no id is left here.
    DatabaseUnavailable,
    /// The clock went back further than can be waited for.
    ClockBackward,
    /// More ids in one millisecond than its sequence has.
    SequenceOverflow,
    /// No worker id is free.
    NoAvailableWorkerId,
    /// A UUID could not be made.
    UuidGenerateFailed,
}

impl ErrorCode {
    /// Every code, in the order of the table.
    pub const ALL: [Self; 13] = [
        Self::InvalidRequest,
        Self::Unauthorized,
        Self::RateLimitExceeded,
        Self::InternalError,
        Self::ServiceUnavailable,
        Self::UnknownGenerator,
        Self::SegmentExhausted,
        Self::SegmentAllocateFailed,
        Self::DatabaseUnavailable,
        Self::ClockBackward,
        Self::SequenceOverflow,
        Self::NoAvailableWorkerId,
        Self::UuidGenerateFailed,
    ];

    /// The code as it stands in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "IDGEN-COMMON-0001",
            Self::Unauthorized => "IDGEN-COMMON-0002",
            Self::RateLimitExceeded => "IDGEN-COMMON-0003",
            Self::InternalError => "IDGEN-COMMON-0004",
            Self::ServiceUnavailable => "IDGEN-COMMON-0005",
            Self::UnknownGenerator => "IDGEN-COMMON-0006",
            Self::SegmentExhausted => "IDGEN-SEG-1001",
            Self::SegmentAllocateFailed => "IDGEN-SEG-1002",
            Self::DatabaseUnavailable => "IDGEN-SEG-1003",
            Self::ClockBackward => "IDGEN-SNOW-2001",
            Self::SequenceOverflow => "IDGEN-SNOW-2002",
            Self::NoAvailableWorkerId => "IDGEN-SNOW-2003",
            Self::UuidGenerateFailed => "IDGEN-UUID-3001",
        }
    }

    /// The HTTP status that goes with the code.
    #[must_use]
    pub fn http_status(self) -> u16 {
        match self {
            Self::InvalidRequest => 400,
            Self::Unauthorized => 401,
            Self::UnknownGenerator => 404,
            Self::RateLimitExceeded => 429,
            Self::InternalError
            | Self::SegmentAllocateFailed
            | Self::ClockBackward
            | Self::SequenceOverflow
            | Self::UuidGenerateFailed => 500,
            Self::ServiceUnavailable
            | Self::SegmentExhausted
            | Self::DatabaseUnavailable
            | Self::NoAvailableWorkerId => 503,
        }
    }

    /// Whether the same request may succeed later. An answer with such a code carries `Retry-After`.
    #[must_use]
    pub fn may_retry(self) -> bool {
        matches!(self.http_status(), 429 | 503)
    }

    /// What the code means, in a few words.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::InvalidRequest => "the request is not valid",
            Self::Unauthorized => "the caller did not prove who it is",
            Self::RateLimitExceeded => "too many requests",
            Self::InternalError => "an internal error",
            Self::ServiceUnavailable => "the service cannot answer now",
            Self::UnknownGenerator => "there is no such id generator",
            Self::SegmentExhausted => "no id is at hand",
            Self::SegmentAllocateFailed => "no range of ids could be allocated",
            Self::DatabaseUnavailable => "ranges of ids cannot be reached now",
            Self::ClockBackward => "the clock went backward",
            Self::SequenceOverflow => "the sequence of this millisecond is used up",
            Self::NoAvailableWorkerId => "no worker id is free",
            Self::UuidGenerateFailed => "no UUID could be made",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
