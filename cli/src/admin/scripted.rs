//! A central that answers as a test says.

use std::sync::{Arc, Mutex};

use axum::{Json, Router, http};
use serde_json::Value;

use super::{Connection, client::Client};

/// What was asked for, in turn.
pub(super) type Asked = Arc<Mutex<Vec<String>>>;

/// Answers one after the other, whatever is asked for; the last one again and again.
pub(super) fn answers(answers: Vec<(u16, Value)>) -> (Router, Asked) {
    let asked = Asked::default();
    let paths = Arc::clone(&asked);
    let answer = move |uri: http::Uri| {
        let mut paths = paths.lock().unwrap();
        let (status, body) = answers[paths.len().min(answers.len() - 1)].clone();
        paths.push(uri.to_string());
        async move { (http::StatusCode::from_u16(status).unwrap(), Json(body)) }
    };
    (Router::new().fallback(answer), asked)
}

/// A client of it; the file of its administrators' secret goes with the second part.
pub(super) async fn central(router: Router) -> (Client, tempfile::NamedTempFile) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    client(server)
}

/// A client of what is at an address, or not yet.
pub(super) fn client(server: String) -> (Client, tempfile::NamedTempFile) {
    // Another test may have installed it.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let secret = tempfile::NamedTempFile::new().unwrap();
    let client = Client::new(&Connection {
        server,
        token_file: Some(secret.path().to_owned()),
        ca_file: None,
    });
    (client.unwrap(), secret)
}
