//! A central that answers as a test says.

use super::{Connection, client::Client};

/// A client of it; the file of its administrators' secret goes with the second part.
pub(super) async fn central(router: axum::Router) -> (Client, tempfile::NamedTempFile) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
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
