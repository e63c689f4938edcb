//! The port: one listener for HTTP/1.1 and HTTP/2, with or without TLS.

use std::{
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use axum::{Router, extract::ConnectInfo, middleware::AddExtension};
use axum_server::{
    Handle, Server,
    accept::{Accept, NoDelayAcceptor},
    service::SendService,
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use http::Request;
use hyper_util::rt::TokioTimer;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::patience::Patience;
use crate::error::StartError;

/// A ping that stays unanswered so long ends an HTTP/2 connection, and its streams with it.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Calls of one connection at a time; a sidecar has one stream and a few calls.
const STREAMS_PER_CONNECTION: u32 = 64;
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_HEADER_BYTES: u32 = 64 * 1024;

/// What serves one connection, and knows whose it is.
type Connection = AddExtension<Router, ConnectInfo<SocketAddr>>;

/// A bound port that does not serve yet.
pub(crate) struct Port {
    listener: TcpListener,
    address: SocketAddr,
}

impl Port {
    /// Binds the address; port 0 takes any that is free.
    pub(crate) fn bind(address: SocketAddr) -> Result<Self, StartError> {
        let bound = TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        });
        bound.map_err(|source| StartError::Listen { address, source })
    }

    /// The address that was bound.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the handle says otherwise.
    pub(crate) async fn serve(
        self,
        router: Router,
        tls: Option<RustlsConfig>,
        handle: Handle<SocketAddr>,
    ) -> std::io::Result<()> {
        // Answers are small and awaited: Nagle's algorithm would hold each back for the other side's
        // delayed acknowledgement.
        let server = axum_server::from_tcp(self.listener)?;
        match tls {
            Some(tls) => {
                let acceptor = RustlsAcceptor::new(tls).acceptor(NoDelayAcceptor::new());
                serve(server.acceptor(patient(acceptor)), router, handle).await
            }
            None => {
                let acceptor = patient(NoDelayAcceptor::new());
                serve(server.acceptor(acceptor), router, handle).await
            }
        }
    }
}

// Outermost, so that it also sees who is silent once the TLS handshake is done.
fn patient<A>(acceptor: A) -> Patience<A> {
    Patience::new(acceptor, HEADER_READ_TIMEOUT)
}

async fn serve<A>(
    mut server: Server<SocketAddr, A>,
    router: Router,
    handle: Handle<SocketAddr>,
) -> std::io::Result<()>
where
    A: Accept<TcpStream, Connection> + Clone + Send + Sync + 'static,
    A::Stream: AsyncRead + AsyncWrite + Unpin + Send,
    A::Service: SendService<Request<hyper::body::Incoming>> + Send,
    A::Future: Send,
{
    let builder = server.http_builder();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .max_header_list_size(MAX_HEADER_BYTES);
    server
        .handle(handle)
        .serve(router.into_make_service_with_connect_info::<SocketAddr>())
        .await
}
