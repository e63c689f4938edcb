//! One contract, kept by both databases.
//!
//! Every scenario runs on SQLite, and on PostgreSQL when `SIGNET_TEST_POSTGRES_URL` names a server
//! and a user that may make databases; each scenario has one of its own. Without it the PostgreSQL
//! half says so and passes, unless `SIGNET_TEST_REQUIRE` contains `postgres`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "all of it is a test"
)]

mod account;
mod append;
mod chain;
mod command;
mod concurrency;
mod consumer;
mod database;
mod delegate;
mod faults;
mod idempotency;
mod integrity;
mod kill;
mod lane;
mod migration;
mod partitions;
mod projection;
mod query;
mod read;
mod registry;
mod replay;
mod replica;
mod samples;
mod server;
mod snapshot;
mod subscribe;
