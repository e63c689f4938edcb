//! One contract, kept by both databases.
//!
//! Every scenario runs on SQLite, and on PostgreSQL when `SIGNET_TEST_POSTGRES_URL` names a server
//! and a user that may make databases; each scenario has one of its own. Without it the PostgreSQL
//! half says so and passes, unless `SIGNET_TEST_REQUIRE` contains `postgres`.
//!
//! What stops, kills and freezes a server starts one of its own, with the programs of the newest
//! PostgreSQL of the machine, or those in the folder `SIGNET_TEST_POSTGRES_BIN`.
//! `SIGNET_TEST_FAULTS=long` repeats every fault often enough for a night instead of for every push.

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
mod correlation;
mod database;
mod delegate;
mod disk;
mod faults;
mod field;
mod guess;
mod idempotency;
mod input;
mod integrity;
mod kill;
mod lag;
mod lane;
mod large;
mod load;
mod migration;
mod model;
mod one_message;
mod order;
mod outage;
mod partitions;
mod plans;
mod projection;
mod proof;
mod proxy;
mod query;
mod read;
mod read_only;
mod registry;
mod replay;
mod replica;
mod samples;
mod server;
mod snapshot;
mod subscribe;
mod wire;
