//! From the call of `append` to the event in the hands of a subscriber of another store on the same
//! database, against a bare `NOTIFY` from one connection to another.

use std::time::{Duration, Instant};

use eventstore::{Append, ExpectedVersion};
use futures::StreamExt;
use sqlx::postgres::PgListener;

use crate::report::{Goal, Outcome, Report, Subject, median, quantile, say};
use crate::sample;
use crate::server::Server;

const ROUNDS: usize = 5;
const TIMES: usize = 150;
/// Both sides are idle before each.
const PAUSE: Duration = Duration::from_millis(2);

pub(crate) async fn run(server: &Server, report: &mut Report) -> Outcome<()> {
    say("wake-up");
    let database = server.database("wake").await?;
    let (here, there) = (database.open().await?, database.open().await?);
    let mut events = there.subscribe(there.head().await?);
    let raw = server.database("wake_raw").await?;
    let (sending, receiving) = (raw.pool(1).await?, raw.pool(1).await?);
    // The pool's one connection is the listener's now.
    let mut listener = PgListener::connect_with(&receiving).await?;
    listener.listen("bench").await?;
    let mut sender = sending.acquire().await?;
    let (mut middle, mut late) = (Vec::new(), Vec::new());
    let (mut all_ours, mut all_bare) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for number in 0..TIMES {
            let stream = sample::stream("wake", number);
            let append = Append::to(stream, ExpectedVersion::Any, vec![sample::event(0)]);
            let started = Instant::now();
            let received = async {
                let event = events.next().await.ok_or("the subscription ended")??;
                drop(event);
                Outcome::Ok(started.elapsed())
            };
            let (appended, received) = tokio::join!(here.append(append), received);
            appended?;
            ours.push(received?.as_secs_f64() * 1e6);
            tokio::time::sleep(PAUSE).await;
            let started = Instant::now();
            let notify = sqlx::query("SELECT pg_notify('bench', '1')");
            let received = async {
                listener.recv().await?;
                Outcome::Ok(started.elapsed())
            };
            let (sent, received) = tokio::join!(notify.execute(&mut *sender), received);
            sent?;
            bare.push(received?.as_secs_f64() * 1e6);
            tokio::time::sleep(PAUSE).await;
        }
        if round > 0 {
            middle.push((median(ours.clone()), median(bare.clone())));
            late.push((quantile(ours.clone(), 0.99), quantile(bare.clone(), 0.99)));
            all_ours.extend(ours);
            all_bare.extend(bare);
        }
    }
    let subject = |id, which: &str| Subject {
        id,
        work: format!("append to subscriber of another store, PostgreSQL, durable, {which}"),
        unit: "µs",
        baseline_name: "bare LISTEN/NOTIFY",
        goal: Goal::AtMost(2.0),
    };
    let ends = (quantile(all_ours, 0.99), quantile(all_bare, 0.99));
    report.compare(subject("wake/p50", "median"), &middle);
    report.compare(subject("wake/p99", "99 of 100 are faster"), &late);
    report
        .facts
        .insert("wake_p99_of_all_rounds".into(), serde_json::json!(ends));
    drop((listener, sender, events));
    here.close().await;
    there.close().await;
    Ok(())
}
