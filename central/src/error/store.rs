//! What the event store says, as a call is answered with it.

use eventstore::{ReadError, command::CommandError};

use super::ServiceError;

impl From<CommandError> for ServiceError {
    fn from(error: CommandError) -> Self {
        let message = error.to_string();
        match error {
            CommandError::Unavailable { may_be_stored, .. } => {
                tracing::warn!(message, "a command could not reach the event store");
                match may_be_stored {
                    true => Self::OutcomeUnknown,
                    false => Self::StoreUnavailable,
                }
            }
            CommandError::Contended { .. } => Self::Contended,
            CommandError::Limited {
                command,
                retry_after,
            } => Self::Limited {
                command,
                pause: retry_after,
            },
            CommandError::Busy => Self::Busy,
            CommandError::Invalid { field, message } => Self::InvalidArgument {
                name: declared(&field).into(),
                message,
            },
            CommandError::NotUnderstood { position, .. } => {
                tracing::error!(message, "a stored event is not understood");
                let position = position.0;
                Self::NotUnderstood { position, message }
            }
            CommandError::Corrupt { .. } => {
                tracing::error!(message, "a stream is corrupt");
                let position = None;
                Self::Corrupt { position, message }
            }
            CommandError::KeyReused { .. } | CommandError::Unwritable { .. } => {
                Self::Internal(message)
            }
        }
    }
}

/// What of a declaration makes the part of an append that the store refuses: callers know nothing of
/// appends.
fn declared(field: &str) -> &'static str {
    match field.rsplit_once(".stream.") {
        Some((_, "tenant")) => "tenant",
        Some(_) => "name",
        None => "spec",
    }
}

impl From<ReadError> for ServiceError {
    fn from(error: ReadError) -> Self {
        let message = error.to_string();
        match error {
            ReadError::Unavailable { .. } => {
                tracing::warn!(message, "the event store could not be read");
                Self::StoreUnavailable
            }
            ReadError::Corrupt { position, .. }
            | ReadError::Rewritten { position }
            | ReadError::Gap {
                expected: position, ..
            } => {
                tracing::error!(message, "the event store is corrupt");
                // A position that cannot be read is given as 0.
                let position = Some(position.0).filter(|position| *position > 0);
                Self::Corrupt { position, message }
            }
            ReadError::AheadOfStore {
                cursor: position, ..
            }
            | ReadError::NotReached { position, .. } => Self::Behind(position.0),
            ReadError::Invalid { field, message } => Self::InvalidArgument {
                name: field.into(),
                message,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use eventstore::{Position, ReadError, StreamKey, command::CommandError};
    use http::StatusCode;

    use super::ServiceError;

    #[test]
    fn too_many_calls_are_answered_with_whole_seconds_to_wait() {
        for (pause, seconds) in [(1, 1), (1000, 1), (1001, 2)] {
            let error = ServiceError::from(CommandError::Limited {
                command: "AllocateRange",
                retry_after: Duration::from_millis(pause),
            });

            assert_eq!(error.http_status(), StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(error.grpc_code(), tonic::Code::ResourceExhausted);
            assert_eq!(error.retry_after(), Some(Duration::from_secs(seconds)));
            assert!(error.to_string().contains(&format!("{seconds} s")));
        }
    }

    #[test]
    fn a_full_replica_sends_callers_away_for_a_moment() {
        let error = ServiceError::from(CommandError::Busy);

        assert_eq!(error.http_status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));
    }

    #[test]
    fn what_may_be_stored_is_not_said_to_have_changed_nothing() {
        let unavailable = |may_be_stored| {
            ServiceError::from(CommandError::Unavailable {
                message: "it is away".into(),
                may_be_stored,
            })
        };
        let nothing = unavailable(false);
        assert_eq!(nothing.code(), "SIGNET-CENTRAL-0009");
        assert!(nothing.to_string().contains("nothing was changed"));

        let unknown = unavailable(true);
        assert_eq!(unknown.code(), "SIGNET-CENTRAL-0022");
        assert!(!unknown.to_string().contains("nothing was changed"));
        assert_eq!(unknown.grpc_code(), tonic::Code::Unavailable);
        assert_eq!(unknown.retry_after(), Some(Duration::from_secs(1)));
    }

    #[test]
    fn what_is_damaged_is_no_outage_and_names_its_position() {
        let damaged = |position| {
            ServiceError::from(ReadError::Corrupt {
                position: Position(position),
                message: "schema_version is -1".into(),
            })
        };
        let error = damaged(7);
        assert_eq!(error.code(), "SIGNET-CENTRAL-0020");
        assert_eq!(error.http_status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(error.retry_after(), None);
        assert_eq!(error.details().unwrap()["position"], 7);
        assert!(error.to_string().contains("position 7"), "{error}");
        assert!(
            error.to_string().contains("signet events verify"),
            "{error}"
        );
        assert_eq!(damaged(0).details(), None);
        let gap = ServiceError::from(ReadError::Gap {
            expected: Position(3),
            found: Position(5),
        });
        assert_eq!(gap.details().unwrap()["position"], 3);

        let stream = StreamKey::new("acme", "role", "shop/reader");
        let newer = ServiceError::from(CommandError::NotUnderstood {
            stream: Box::new(stream),
            position: Position(9),
            event_type: "RoleDeclared".into(),
            schema_version: 99,
            message: "no such schema".into(),
        });
        assert_eq!(newer.code(), "SIGNET-CENTRAL-0021");
        assert_eq!(newer.retry_after(), None);
        assert_eq!(newer.details().unwrap()["position"], 9);
    }

    #[test]
    fn what_is_refused_is_named_as_it_was_declared() {
        for (field, name) in [
            ("writes[0].events[0]", "spec"),
            ("writes[0].events[12].data", "spec"),
            ("writes[0].stream.tenant", "tenant"),
            ("writes[0].stream.stream_id", "name"),
        ] {
            let error = ServiceError::from(CommandError::Invalid {
                field: field.into(),
                message: "it is too large".into(),
            });
            assert_eq!(error.to_string(), format!("{name}: it is too large"));
        }
    }
}
