//! Central as a whole: real stores, real sockets, real clients; only the API server that would prove
//! callers is replaced by a map of tokens.
//!
//! Every test that touches the store runs on SQLite, and on PostgreSQL when `SIGNET_TEST_POSTGRES_URL`
//! names a server on which databases may be made. `SIGNET_TEST_REQUIRE=postgres` makes its absence a
//! failure.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod administration;
mod allocation;
mod allocations;
mod anonymous;
mod api_consumers;
mod api_events;
mod api_replays;
mod checkpoints;
mod correlation;
mod damaged;
mod dead_letters;
mod event_types;
mod exchange;
mod frozen;
mod kill;
mod kubernetes;
mod limits;
mod names;
mod outage;
mod projections;
mod provisioning;
mod replay_limits;
mod replicas;
mod restart;
mod retired_keys;
mod rotation;
mod shutdown;
mod snapshots;
mod states;
mod streams;
mod support;
mod sync;
mod tenancy;
mod tls;
