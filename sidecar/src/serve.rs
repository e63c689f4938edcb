//! Connections in, requests to a router. HTTP/1.1, bounded in number and in patience.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use tower_http::timeout::TimeoutBody;
use tracing::{debug, warn};

/// How long a body may pause before it counts as never to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// The head of a request, all headers together, fits.
const LARGEST_HEAD_BYTES: usize = 64 * 1024;
/// When the process has no file descriptors left, accepting at once again would only burn time.
const AFTER_ACCEPT_ERROR: Duration = Duration::from_millis(100);

/// Who may connect, and how long one may say nothing.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections served at a time; the next ones wait.
    pub connections: usize,
    /// How long a client may take to send a request's head; also how long an idle connection is kept.
    pub silence: Duration,
    /// Whether a connection may bring a second request.
    pub keep_alive: bool,
}

/// A port that is bound, and what answers on it.
#[derive(Debug)]
pub struct Server {
    name: &'static str,
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    limits: Limits,
    connections: Arc<Semaphore>,
}

impl Server {
    /// Binds the address.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn bind(
        name: &'static str,
        address: SocketAddr,
        limits: Limits,
        router: Router,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let connections = Arc::new(Semaphore::new(limits.connections));
        Ok(Self {
            name,
            listener,
            address,
            router,
            limits,
            connections,
        })
    }

    /// The address bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until cancelled, then finishes the requests under way, for at most `grace`.
    pub async fn run(self, shutdown: CancellationToken, grace: Duration) {
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = self.accept() => accepted,
            };
            let Some((stream, permit)) = accepted else {
                continue;
            };
            let serving = serve(stream, self.router.clone(), self.limits, shutdown.clone());
            connections.spawn(async move {
                serving.await;
                drop(permit);
            });
        }
        drop(self.listener);
        connections.close();
        if tokio::time::timeout(grace, connections.wait())
            .await
            .is_err()
        {
            warn!(
                server = self.name,
                left = connections.len(),
                "requests were cut off at the end"
            );
        }
    }

    async fn accept(&self) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
        let permit = Arc::clone(&self.connections).acquire_owned().await.ok()?;
        match self.listener.accept().await {
            Ok((stream, _)) => Some((stream, permit)),
            Err(error) => {
                warn!(server = self.name, %error, "cannot accept a connection");
                tokio::time::sleep(AFTER_ACCEPT_ERROR).await;
                None
            }
        }
    }
}

async fn serve(stream: TcpStream, router: Router, limits: Limits, shutdown: CancellationToken) {
    // Answers are small and awaited.
    let _ = stream.set_nodelay(true);
    let service = router.map_request(|request: hyper::Request<Incoming>| {
        request.map(|body| Body::new(TimeoutBody::new(BODY_TIMEOUT, body)))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(limits.keep_alive)
        .header_read_timeout(limits.silence)
        .max_buf_size(LARGEST_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        debug!(%error, "a connection ended early");
    }
}
