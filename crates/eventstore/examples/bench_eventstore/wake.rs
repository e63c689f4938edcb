//! From an append to the event in the hands of a subscriber of another store on the same database, against
//! `LISTEN`/`NOTIFY` from one connection to another.
//!
//! A bare `NOTIFY` writes nothing, so that it waits for no disk. An append does: what is compared with it
//! from its call on is a `NOTIFY` that is committed with such an event. What the store adds behind the commit
//! is compared with the bare one.

use std::time::{Duration, Instant};

use eventstore::{Append, EventStore, ExpectedVersion};
use futures::StreamExt;
use sqlx::postgres::PgListener;

use crate::callers::Appender;
use crate::raw_postgres::RawPostgres;
use crate::report::{Goal, Outcome, Report, Subject, median, quantile, say};
use crate::sample;
use crate::server::Server;

const ROUNDS: usize = 5;
const TIMES: usize = 400;
const BARE: &str = "SELECT pg_notify('bench', '1')";
/// Both sides are idle before each.
const PAUSE: Duration = Duration::from_millis(2);

pub(crate) async fn run(server: &Server, report: &mut Report) -> Outcome<()> {
    say("wake-up");
    let database = server.database("wake").await?;
    let (here, there) = (database.open().await?, database.open().await?);
    let mut events = there.subscribe(there.head().await?);
    let raw = server.database("wake_raw").await?;
    let (sending, receiving) = (raw.pool(1).await?, raw.pool(1).await?);
    let appending = RawPostgres::at_once(sending.clone());
    // The pool's one connection is the listener's now.
    let mut listener = PgListener::connect_with(&receiving).await?;
    listener.listen("bench").await?;
    let mut lines = Lines::default();
    for round in 0..=ROUNDS {
        let mut times = Times::default();
        for number in 0..TIMES {
            let stream = sample::stream("wake", number);
            let append = Append::to(stream, ExpectedVersion::Any, vec![sample::event(0)]);
            let started = Instant::now();
            let appended = async {
                EventStore::append(&*here, append).await?;
                Outcome::Ok(started.elapsed())
            };
            let received = async {
                let event = events.next().await.ok_or("the subscription ended")??;
                drop(event);
                Outcome::Ok(started.elapsed())
            };
            let (appended, received) = tokio::join!(appended, received);
            let (appended, received) = (appended?, received?);
            times.append.push(microseconds(received));
            // The subscriber may be first.
            let behind = received.saturating_sub(appended);
            times.behind.push(microseconds(behind));
            tokio::time::sleep(PAUSE).await;
            let stream = sample::stream("wake", number);
            let sent = async {
                let version = round as u64;
                appending.append(&stream, version, sample::event(0)).await
            };
            times.durable.push(until_heard(&mut listener, sent).await?);
            tokio::time::sleep(PAUSE).await;
            let sent = async {
                sqlx::query(BARE).execute(&sending).await?;
                Ok(())
            };
            times.bare.push(until_heard(&mut listener, sent).await?);
            tokio::time::sleep(PAUSE).await;
        }
        if round > 0 {
            lines.add(times);
        }
    }
    lines.report(report);
    drop((listener, events));
    here.close().await;
    there.close().await;
    Ok(())
}

/// Microseconds until the listener has what is sent meanwhile.
async fn until_heard(
    listener: &mut PgListener,
    sent: impl Future<Output = Outcome<()>>,
) -> Outcome<f64> {
    let started = Instant::now();
    let heard = async {
        listener.recv().await?;
        Outcome::Ok(started.elapsed())
    };
    let (sent, heard) = tokio::join!(sent, heard);
    sent?;
    Ok(microseconds(heard?))
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Microseconds, each time.
#[derive(Default)]
struct Times {
    /// From the call of `append` to the event.
    append: Vec<f64>,
    /// From the answer of `append` to the event.
    behind: Vec<f64>,
    durable: Vec<f64>,
    bare: Vec<f64>,
}

/// Of each round ours and the baseline.
#[derive(Default)]
struct Lines {
    append_median: Vec<(f64, f64)>,
    append_late: Vec<(f64, f64)>,
    behind_median: Vec<(f64, f64)>,
    behind_late: Vec<(f64, f64)>,
}

impl Lines {
    fn add(&mut self, times: Times) {
        let Times {
            append,
            behind,
            durable,
            bare,
        } = times;
        let late = |times: &[f64]| quantile(times.to_vec(), 0.99);
        let middle = |times: &[f64]| median(times.to_vec());
        self.append_median.push((middle(&append), middle(&durable)));
        self.append_late.push((late(&append), late(&durable)));
        self.behind_median.push((middle(&behind), middle(&bare)));
        self.behind_late.push((late(&behind), late(&bare)));
    }

    fn report(&self, report: &mut Report) {
        let mut line = |id, work: &str, baseline_name, goal, rounds: &[(f64, f64)]| {
            let subject = Subject {
                id,
                work: format!("{work}, another store, PostgreSQL"),
                unit: "µs",
                baseline_name,
                goal,
            };
            report.compare(subject, rounds);
        };
        let (bare, durable) = ("bare NOTIFY", "the event and NOTIFY in one statement");
        let (call, answer) = (
            "call of append to subscriber",
            "answer of append to subscriber",
        );
        let p50 = |what: &str| format!("{what}, median");
        let p99 = |what: &str| format!("{what}, 99 of 100");
        let goal = Goal::AtMost(2.0);
        let behind = &self.behind_median;
        line("wake/p50", &p50(answer), bare, Goal::None, behind);
        line("wake/p99", &p99(answer), bare, goal, &self.behind_late);
        let append = &self.append_median;
        line("wake/append-p50", &p50(call), durable, Goal::None, append);
        let append = &self.append_late;
        line("wake/append-p99", &p99(call), durable, Goal::None, append);
    }
}
