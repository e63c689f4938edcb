//! A connection that says nothing comes to an end.
//!
//! The server learns from the first bytes which version of HTTP is spoken, and waits for them without
//! a limit; its time-outs begin after that. Whoever opens connections and says nothing, or only the
//! first letters of HTTP/2's preface, would hold a socket of each for ever.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum_server::accept::Accept;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// What an HTTP/2 connection begins with: RFC 9113, section 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Ends what the acceptor within accepted, unless it shows its version of HTTP in time.
#[derive(Clone, Debug)]
pub(super) struct Patience<A> {
    acceptor: A,
    limit: Duration,
}

impl<A> Patience<A> {
    pub(super) fn new(acceptor: A, limit: Duration) -> Self {
        Self { acceptor, limit }
    }
}

impl<A, I, S> Accept<I, S> for Patience<A>
where
    A: Accept<I, S>,
    A::Future: Send + 'static,
{
    type Stream = Awaited<A::Stream>;
    type Service = A::Service;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let (accepted, limit) = (self.acceptor.accept(stream, service), self.limit);
        Box::pin(async move {
            let (stream, service) = accepted.await?;
            Ok((Awaited::new(stream, limit), service))
        })
    }
}

/// A stream whose first bytes are waited for, for a limited time.
#[derive(Debug)]
pub(super) struct Awaited<S> {
    stream: S,
    greeting: Option<Greeting>,
}

#[derive(Debug)]
struct Greeting {
    deadline: Pin<Box<Sleep>>,
    /// How much of the preface has been read.
    read: usize,
}

impl Greeting {
    /// Whether the version of HTTP shows, after these bytes too.
    fn is_over(&mut self, bytes: &[u8]) -> bool {
        let expected = PREFACE.get(self.read..).unwrap_or_default();
        self.read += bytes.len();
        self.read >= PREFACE.len() || !expected.starts_with(bytes)
    }
}

impl<S> Awaited<S> {
    fn new(stream: S, limit: Duration) -> Self {
        let deadline = Box::pin(sleep(limit));
        Self {
            stream,
            greeting: Some(Greeting { deadline, read: 0 }),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Awaited<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        let Some(greeting) = &mut this.greeting else {
            return read;
        };
        if read.is_pending() {
            ready!(greeting.deadline.as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if greeting.is_over(buffer.filled().get(before..).unwrap_or_default()) {
            this.greeting = None;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Awaited<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::{io::ErrorKind, time::Duration};

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
        time::{sleep, timeout},
    };

    use super::{Awaited, PREFACE};

    const LIMIT: Duration = Duration::from_secs(10);
    const LONG: Duration = Duration::from_secs(3600);

    /// How the server's side reads on once it has read what the client began with.
    async fn reading_on(beginning: &[&[u8]]) -> Option<ErrorKind> {
        let (mut client, server) = duplex(1024);
        let mut server = Awaited::new(server, LIMIT);
        let mut buffer = [0; 1024];
        for bytes in beginning {
            client.write_all(bytes).await.unwrap();
            server.read_exact(&mut buffer[..bytes.len()]).await.unwrap();
        }
        match timeout(LONG, server.read(&mut buffer)).await {
            Err(_) => None,
            Ok(read) => Some(read.unwrap_err().kind()),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_connection() {
        assert_eq!(reading_on(&[]).await, Some(ErrorKind::TimedOut));
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_of_the_preface_is_no_greeting() {
        let (first, last) = PREFACE.split_at(8);
        for beginning in [vec![first], vec![&first[..1], &first[1..], &last[..15]]] {
            let ended = reading_on(&beginning).await;
            assert_eq!(ended, Some(ErrorKind::TimedOut), "{beginning:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_server_times_what_comes_after_the_greeting() {
        let (first, last) = PREFACE.split_at(8);
        for beginning in [
            vec![&b"G"[..]],
            vec![&b"P"[..], &b"OST"[..]],
            vec![first, last],
            vec![PREFACE],
        ] {
            assert_eq!(reading_on(&beginning).await, None, "{beginning:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_there_in_time_is_read() {
        let (mut client, server) = duplex(1024);
        let mut server = Awaited::new(server, LIMIT);
        let late = tokio::spawn(async move {
            sleep(LIMIT / 2).await;
            client.write_all(b"GET /").await.unwrap();
            client
        });
        let mut buffer = [0; 5];
        server.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"GET /");
        server.write_all(b"HTTP").await.unwrap();
        late.await
            .unwrap()
            .read_exact(&mut buffer[..4])
            .await
            .unwrap();
        assert_eq!(&buffer[..4], b"HTTP");
    }
}
