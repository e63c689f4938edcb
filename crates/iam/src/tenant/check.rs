//! What a tenant may be declared as.

use super::command::{KeySettings, Spec, TokenSettings};
use crate::names::is_dns_label;
use crate::refusal::{Reason, Refusal};

const MAX_DISPLAY_NAME_CHARACTERS: usize = 128;
const MAX_NAMESPACES: usize = 4096;
const MAX_AUDIENCES: usize = 32;
const MAX_AUDIENCE_BYTES: usize = 255;
const MINUTE: u64 = 60;
const DAY: u64 = 24 * 60 * MINUTE;
const ACCESS_LIFETIME: std::ops::RangeInclusive<u64> = MINUTE..=DAY;
const MAX_REFRESH_LIFETIME: u64 = 400 * DAY;
const MAX_ROTATION: u64 = 3660 * DAY;

/// Looks a declaration over.
pub(super) fn check(spec: &Spec) -> Result<(), Refusal> {
    if !is_dns_label(&spec.name) {
        return Err(Refusal::of(
            "metadata.name",
            Reason::InvalidName,
            "a tenant's name becomes part of host names and trust domains; use lower case letters, digits and hyphens, at most 63",
        ));
    }
    if spec.display_name.chars().count() > MAX_DISPLAY_NAME_CHARACTERS
        || spec.display_name.chars().any(char::is_control)
    {
        return Err(Refusal::of(
            "spec.displayName",
            Reason::InvalidDisplayName,
            format!(
                "use at most {MAX_DISPLAY_NAME_CHARACTERS} characters, and no control characters"
            ),
        ));
    }
    check_namespaces(spec)?;
    check_tokens(&spec.tokens)?;
    check_keys(&spec.keys, &spec.tokens)
}

fn check_namespaces(spec: &Spec) -> Result<(), Refusal> {
    let refuse = |message| {
        Err(Refusal::of(
            "spec.namespaces",
            Reason::InvalidNamespace,
            message,
        ))
    };
    if spec.namespaces.len() > MAX_NAMESPACES {
        return refuse(format!(
            "{} namespaces are selected; at most {MAX_NAMESPACES} may act for one tenant: narrow the selector",
            spec.namespaces.len()
        ));
    }
    match spec.namespaces.iter().find(|name| !is_dns_label(name)) {
        Some(wrong) => refuse(format!(
            "`{}` is not the name of a namespace",
            wrong.escape_debug()
        )),
        None => Ok(()),
    }
}

fn check_tokens(tokens: &TokenSettings) -> Result<(), Refusal> {
    let access = tokens.access_token_lifetime_seconds;
    if !ACCESS_LIFETIME.contains(&access) {
        return Err(Refusal::of(
            "spec.tokens.accessTokenLifetime",
            Reason::InvalidLifetime,
            format!("an access token lives 1m to 24h, not {access}s"),
        ));
    }
    let refresh = tokens.refresh_token_lifetime_seconds;
    if !(access..=MAX_REFRESH_LIFETIME).contains(&refresh) {
        return Err(Refusal::of(
            "spec.tokens.refreshTokenLifetime",
            Reason::InvalidLifetime,
            format!(
                "a refresh token lives at least as long as an access token ({access}s) and at most 9600h, not {refresh}s"
            ),
        ));
    }
    if tokens.audiences.is_empty() || tokens.audiences.len() > MAX_AUDIENCES {
        return Err(Refusal::of(
            "spec.tokens.audiences",
            Reason::InvalidAudience,
            format!("name 1 to {MAX_AUDIENCES} audiences; the first is the default"),
        ));
    }
    for (index, audience) in tokens.audiences.iter().enumerate() {
        let field = format!("spec.tokens.audiences[{index}]");
        if audience.is_empty()
            || audience.len() > MAX_AUDIENCE_BYTES
            || audience
                .chars()
                .any(|character| character.is_whitespace() || character.is_control())
        {
            return Err(Refusal::of(
                field,
                Reason::InvalidAudience,
                format!("an audience has 1 to {MAX_AUDIENCE_BYTES} bytes and no white space"),
            ));
        }
        if tokens.audiences[..index].contains(audience) {
            return Err(Refusal::of(
                field,
                Reason::InvalidAudience,
                format!("`{audience}` is there twice; remove one"),
            ));
        }
    }
    Ok(())
}

fn check_keys(keys: &KeySettings, tokens: &TokenSettings) -> Result<(), Refusal> {
    let access = tokens.access_token_lifetime_seconds;
    if keys.overlap_seconds < access {
        return Err(Refusal::of(
            "spec.keys.overlap",
            Reason::InvalidRotation,
            format!(
                "the overlap is {}s; make it at least as long as an access token lives ({access}s)",
                keys.overlap_seconds
            ),
        ));
    }
    if keys.rotate_every_seconds <= keys.overlap_seconds {
        return Err(Refusal::of(
            "spec.keys.rotateEvery",
            Reason::InvalidRotation,
            format!(
                "keys would be rotated every {}s, within the overlap of {}s; rotate less often, or overlap less",
                keys.rotate_every_seconds, keys.overlap_seconds
            ),
        ));
    }
    if keys.rotate_every_seconds > MAX_ROTATION {
        return Err(Refusal::of(
            "spec.keys.rotateEvery",
            Reason::InvalidRotation,
            "rotate at least every ten years (87840h)",
        ));
    }
    Ok(())
}
