//! What is asked again, and what is not.

use std::time::Duration;

use axum::{Router, routing::get};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{Absence, Client};
use crate::{admin::scripted, error::Error};

const LONG: Duration = Duration::from_secs(60);

async fn ask(client: &Client, longest: Duration) -> (Result<Value, Error>, Vec<String>) {
    let told = std::sync::Mutex::new(Vec::new());
    let every = Duration::from_millis(5);
    let tell = |text: &str| told.lock().unwrap().push(text.to_owned());
    let outcome = client
        .get_after(Absence { every, longest }, "/", tell)
        .await;
    (outcome, told.into_inner().unwrap())
}

/// What a look comes to when these statuses are answered, the last one for ever; and how often it asked.
async fn look(statuses: &[u16], longest: Duration) -> (Result<Value, Error>, usize) {
    let body = |status: &u16| match status {
        200 => json!({ "end": true }),
        _ => json!({ "error": { "message": "not now" } }),
    };
    let answers = statuses.iter().map(|status| (*status, body(status)));
    let (router, asked) = scripted::answers(answers.collect());
    let (client, _secret) = scripted::central(router).await;
    let (outcome, told) = ask(&client, longest).await;
    assert_eq!(told.len(), 1, "{told:?}");
    let asked = asked.lock().unwrap().len();
    (outcome, asked)
}

#[tokio::test]
async fn who_follows_bears_an_absence_and_nothing_else() {
    let (outcome, asked) = look(&[503, 502, 504, 200], LONG).await;
    assert!(outcome.is_ok() && asked == 4, "{outcome:?} {asked}");
    let (outcome, asked) = look(&[503, 404], LONG).await;
    let message = outcome.unwrap_err().to_string();
    assert!(
        message.starts_with("404") && asked == 2,
        "{message} {asked}"
    );
    let (outcome, asked) = look(&[503], Duration::from_millis(50)).await;
    let message = outcome.unwrap_err().to_string();
    assert!(
        message.contains("not now") && asked > 1,
        "{message} {asked}"
    );
}

#[tokio::test]
async fn what_stands_before_central_may_answer_in_its_own_words() {
    let gateway = Router::new().route(
        "/",
        get(async || (axum::http::StatusCode::BAD_GATEWAY, "oh")),
    );
    let (client, _secret) = scripted::central(gateway).await;
    let (outcome, told) = ask(&client, Duration::from_millis(20)).await;
    assert!(outcome.unwrap_err().to_string().contains("502") && told.len() == 1);
    let stranger = Router::new().route("/", get(async || "hello"));
    let (client, _secret) = scripted::central(stranger).await;
    let (outcome, told) = ask(&client, LONG).await;
    let message = outcome.unwrap_err().to_string();
    assert!(
        message.contains("not answer as central") && told.is_empty(),
        "{message}"
    );
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_asked_until_somebody_does() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (client, _secret) = scripted::client(format!("http://{address}"));
    let refused = client.get("/").await.unwrap_err().to_string();
    assert!(refused.contains("cannot be reached"), "{refused}");
    let (router, _asked) = scripted::answers(vec![(200, json!({ "end": true }))]);
    let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
    let tell = |text: &str| sender.send(text.to_owned()).unwrap();
    let (every, longest) = (Duration::from_millis(5), LONG);

    let back = async {
        let told = told.recv().await.unwrap();
        assert!(told.contains("cannot be reached"), "{told}");
        let listener = TcpListener::bind(address).await.unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
    };
    let asking = client.get_after(Absence { every, longest }, "/", tell);
    let (outcome, ()) = tokio::join!(asking, back);

    assert!(outcome.is_ok(), "{outcome:?}");
}
