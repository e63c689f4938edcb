//! Whether a certificate is due for renewal. Pure: the time is handed in.

use time::{Duration, OffsetDateTime};

use super::{Inspected, Pair, inspect};

/// A leaf is renewed when less than this is left.
const LEAF_AHEAD: Duration = Duration::days(30);
/// The authority is renewed when less than this is left.
const AUTHORITY_AHEAD: Duration = Duration::days(2 * 365);

/// How far to look ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Horizon {
    /// Only what cannot be used now: any replica may mend that, when it starts.
    Now,
    /// What will end before long as well: the leader does that.
    Ahead,
}

/// What to do about a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// It is good.
    Keep,
    /// Make another.
    Renew(Cause),
}

/// Why another is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There is none.
    Missing,
    /// It cannot be read, or is of the wrong kind.
    Unreadable,
    /// The key beside it belongs to another.
    KeyMismatch,
    /// Its time has not come.
    NotYetValid,
    /// Its time is over or will soon be.
    Expiring,
    /// It is not for the names that are needed.
    WrongNames,
    /// Another authority signed it.
    WrongAuthority,
}

/// What to do about the authority.
pub fn plan_authority(existing: Option<&Pair>, now: OffsetDateTime, horizon: Horizon) -> Plan {
    let inspected = match readable(existing) {
        Ok(inspected) => inspected,
        Err(cause) => return Plan::Renew(cause),
    };
    if !inspected.is_authority || inspected.subject_key.is_none() {
        return Plan::Renew(Cause::Unreadable);
    }
    in_time(&inspected, now, horizon, AUTHORITY_AHEAD)
}

/// What to do about a leaf that `authority` should have signed for `names`.
pub fn plan_leaf(
    existing: Option<&Pair>,
    authority: &Pair,
    names: &[String],
    now: OffsetDateTime,
    horizon: Horizon,
) -> Plan {
    let inspected = match readable(existing) {
        Ok(inspected) => inspected,
        Err(cause) => return Plan::Renew(cause),
    };
    let signer = inspect(authority)
        .ok()
        .and_then(|authority| authority.subject_key);
    if signer.is_none() || inspected.authority_key != signer {
        return Plan::Renew(Cause::WrongAuthority);
    }
    if !names.iter().all(|name| inspected.names.contains(name)) {
        return Plan::Renew(Cause::WrongNames);
    }
    in_time(&inspected, now, horizon, LEAF_AHEAD)
}

fn readable(existing: Option<&Pair>) -> Result<Inspected, Cause> {
    let inspected = inspect(existing.ok_or(Cause::Missing)?).map_err(|_| Cause::Unreadable)?;
    if inspected.key_matches {
        Ok(inspected)
    } else {
        Err(Cause::KeyMismatch)
    }
}

fn in_time(inspected: &Inspected, now: OffsetDateTime, horizon: Horizon, ahead: Duration) -> Plan {
    let margin = match horizon {
        Horizon::Now => Duration::ZERO,
        Horizon::Ahead => ahead,
    };
    if now < inspected.not_before {
        Plan::Renew(Cause::NotYetValid)
    } else if now + margin >= inspected.not_after {
        Plan::Renew(Cause::Expiring)
    } else {
        Plan::Keep
    }
}
