//! The table of codes.

use std::collections::BTreeSet;

use crate::ErrorCode;

#[test]
fn the_table_is_the_published_one() {
    let table: Vec<(&str, u16)> = ErrorCode::ALL
        .iter()
        .map(|code| (code.as_str(), code.http_status()))
        .collect();
    assert_eq!(
        table,
        [
            ("IDGEN-COMMON-0001", 400),
            ("IDGEN-COMMON-0002", 401),
            ("IDGEN-COMMON-0003", 429),
            ("IDGEN-COMMON-0004", 500),
            ("IDGEN-COMMON-0005", 503),
            ("IDGEN-COMMON-0006", 404),
            ("IDGEN-SEG-1001", 503),
            ("IDGEN-SEG-1002", 500),
            ("IDGEN-SEG-1003", 503),
            ("IDGEN-SNOW-2001", 500),
            ("IDGEN-SNOW-2002", 500),
            ("IDGEN-SNOW-2003", 503),
            ("IDGEN-UUID-3001", 500),
        ]
    );
    let meanings: BTreeSet<_> = ErrorCode::ALL.iter().map(|code| code.meaning()).collect();
    assert_eq!(meanings.len(), ErrorCode::ALL.len());
}

#[test]
fn what_may_be_tried_again_is_429_and_503() {
    let retried: Vec<_> = ErrorCode::ALL
        .into_iter()
        .filter(|code| code.may_retry())
        .collect();
    assert_eq!(
        retried,
        [
            ErrorCode::RateLimitExceeded,
            ErrorCode::ServiceUnavailable,
            ErrorCode::SegmentExhausted,
            ErrorCode::DatabaseUnavailable,
            ErrorCode::NoAvailableWorkerId,
        ]
    );
    assert_eq!(
        serde_json::to_string(&retried[2]).unwrap(),
        "\"IDGEN-SEG-1001\""
    );
}
