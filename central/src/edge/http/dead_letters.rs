//! Dead letters: listed, replayed, dropped. One is named SUBSCRIPTION:POSITION.

use std::sync::Arc;

use axum::{Json, extract::State};
use eventstore::{
    Position,
    consumer::{DeadLetter, DeadLetterCursor, DeadLetterQuery, Replayed},
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    events::{known, tenant_of},
    letter_replays::{self, PATIENCE, detached, runs_elsewhere},
    parameters::{Nothing, Parameters, invalid, page_length},
    place::Place,
    subscriptions::subscriptions,
};
use crate::{edge::Application, error::ServiceError};

const MOST: usize = 1000;

type Answer = Result<Json<Value>, ServiceError>;

/// Which ones; what is not given does not matter.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    subscription: Option<String>,
    tenant: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

/// Which ones are dropped.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    subscription: Option<String>,
    tenant: Option<String>,
}

/// `GET …/dead-letters`: by subscription, then by position. `next` is what to give as `after`.
pub(super) async fn list(
    State(application): State<Arc<Application>>,
    place: Place,
    Parameters(asked): Parameters<Asked>,
) -> Answer {
    let query = DeadLetterQuery {
        tenant: tenant_of(&application, &place, asked.tenant).await?,
        subscription: asked.subscription,
        after: asked.after.as_deref().map(cursor).transpose()?,
        limit: page_length(asked.limit, MOST)?,
    };
    let page = subscriptions(&application).dead_letters(&query).await?;
    let letters: Vec<_> = page.letters.into_iter().map(view).collect();
    let next = page.next.as_ref().map(name_of);
    Ok(Json(json!({
        "dead_letters": letters, "next": next, "end": next.is_none(),
    })))
}

/// `POST /api/v1/dead-letters/{id}/replay`: hands the event to its handler again, here and now. 202 when
/// the handler takes longer than a call may.
pub(super) async fn replay(
    State(application): State<Arc<Application>>,
    place: Place,
    Parameters(Nothing {}): Parameters<Nothing>,
) -> Result<(StatusCode, Json<Value>), ServiceError> {
    let letter = letter(&place)?;
    let name = name_of(&letter);
    let known = subscriptions(&application);
    known
        .status(&letter.subscription, (application.clock)())
        .await?;
    let consumers = Arc::clone(&application.consumers);
    let replay = async move {
        let replay = consumers.replay(&letter.subscription, letter.position);
        replay.await.map_err(runs_elsewhere)
    };
    Ok(match detached(replay, PATIENCE).await? {
        Some(_) => (StatusCode::OK, Json(json!({ "replayed": name }))),
        None => (StatusCode::ACCEPTED, Json(json!({ "replaying": name }))),
    })
}

/// `POST /api/v1/dead-letters/replay?subscription=&tenant=&after=&limit=`: each once. `next` is what to
/// give as `after` to go on; 202 when one was still being handled, which `replaying` names.
pub(super) async fn replay_all(
    State(application): State<Arc<Application>>,
    Parameters(asked): Parameters<Asked>,
) -> Result<(StatusCode, Json<Value>), ServiceError> {
    if let Some(name) = &asked.subscription {
        let known = subscriptions(&application);
        known.status(name, (application.clock)()).await?;
    }
    let query = DeadLetterQuery {
        tenant: known(&application, asked.tenant).await?,
        subscription: asked.subscription,
        after: asked.after.as_deref().map(cursor).transpose()?,
        limit: page_length(asked.limit.or(Some(MOST)), MOST)?,
    };
    let consumers = Arc::clone(&application.consumers);
    let replay =
        letter_replays::replay_all(subscriptions(&application), consumers, query, PATIENCE);
    let progress = replay.await?;
    let Replayed {
        handled,
        failed,
        held_back,
        skipped,
    } = progress.replayed;
    let status = match progress.replaying {
        Some(_) => StatusCode::ACCEPTED,
        None => StatusCode::OK,
    };
    let answer = json!({
        "handled": handled, "failed": failed, "held_back": held_back, "skipped": skipped,
        "elsewhere": progress.elsewhere,
        "replaying": progress.replaying.as_ref().map(name_of),
        "next": progress.next.as_ref().map(name_of), "end": progress.end,
    });
    Ok((status, Json(answer)))
}

/// `DELETE /api/v1/dead-letters/{id}`: its event will not be handled.
pub(super) async fn drop_one(
    State(application): State<Arc<Application>>,
    place: Place,
    Parameters(Nothing {}): Parameters<Nothing>,
) -> Answer {
    let letter = letter(&place)?;
    let subscriptions = subscriptions(&application);
    subscriptions
        .drop_dead_letter(&letter.subscription, letter.position)
        .await?;
    Ok(Json(json!({ "dropped": name_of(&letter) })))
}

/// `DELETE /api/v1/dead-letters?subscription=&tenant=`: a filter has to be given.
pub(super) async fn drop_all(
    State(application): State<Arc<Application>>,
    Parameters(filter): Parameters<Filter>,
) -> Answer {
    if filter.subscription.is_none() && filter.tenant.is_none() {
        let message = "say which: give a subscription, a tenant, or both";
        return Err(invalid("subscription", message));
    }
    let names = names(&application, filter.subscription).await?;
    let tenant = known(&application, filter.tenant).await?;
    let subscriptions = subscriptions(&application);
    let mut dropped = 0;
    for subscription in names {
        dropped += subscriptions
            .drop_dead_letters(&subscription, tenant.as_deref())
            .await?;
    }
    Ok(Json(json!({ "dropped": dropped })))
}

/// The subscription that is given, or all that have dead letters; one that does not exist is refused.
async fn names(
    application: &Application,
    given: Option<String>,
) -> Result<Vec<String>, ServiceError> {
    let now = (application.clock)();
    let subscriptions = subscriptions(application);
    if let Some(name) = &given {
        return Ok(vec![subscriptions.status(name, now).await?.subscription]);
    }
    let all = subscriptions.all(now).await?;
    let with_letters = all.into_iter().filter(|status| status.dead_letters > 0);
    Ok(with_letters.map(|status| status.subscription).collect())
}

fn letter(place: &Place) -> Result<DeadLetterCursor, ServiceError> {
    let id = place.part("id");
    cursor(id).map_err(|_| ServiceError::missing("dead letter", id))
}

/// SUBSCRIPTION:POSITION, where the name may have colons.
fn cursor(text: &str) -> Result<DeadLetterCursor, ServiceError> {
    let wrong = || invalid("after", "give it as SUBSCRIPTION:POSITION, as `next` is");
    let (subscription, position) = text.rsplit_once(':').ok_or_else(wrong)?;
    Ok(DeadLetterCursor {
        subscription: subscription.to_owned(),
        position: Position(position.parse().map_err(|_| wrong())?),
    })
}

fn name_of(cursor: &DeadLetterCursor) -> String {
    format!("{}:{}", cursor.subscription, cursor.position)
}

fn view(letter: DeadLetter) -> Value {
    json!({
        "id": format!("{}:{}", letter.subscription, letter.position),
        "subscription": letter.subscription,
        "position": letter.position,
        "tenant": letter.stream.tenant,
        "stream_type": letter.stream.stream_type,
        "stream_id": letter.stream.stream_id,
        "event_id": letter.event_id,
        "event_type": letter.event_type,
        "error": letter.error,
        "attempts": letter.attempts,
        "first_failed_at": super::views::time(letter.first_failed_at),
        "last_failed_at": super::views::time(letter.last_failed_at),
        "held_behind": letter.held_behind,
    })
}

#[cfg(test)]
mod tests {
    use super::{cursor, name_of};

    #[test]
    fn the_name_of_a_dead_letter_reads_back() {
        for name in ["audit:7", "a:b:7", ":1"] {
            assert_eq!(name_of(&cursor(name).unwrap()), name);
        }
        for wrong in ["", "audit", "audit:", "audit:x", "audit:-1"] {
            assert!(cursor(wrong).is_err(), "{wrong}");
        }
    }
}
