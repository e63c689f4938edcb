//! As much HTTP as asking a program on this machine takes: one plain request, one answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(15);

/// `GET path`; the body of an answer 200.
///
/// # Errors
/// When there is no answer or another one.
pub(crate) fn get(address: SocketAddr, path: &str) -> Result<String> {
    exchange(
        address,
        &format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n"),
    )
}

/// `POST path` with a JSON body; the body of an answer 200.
///
/// # Errors
/// As [`get`].
pub(crate) fn post(address: SocketAddr, path: &str, json: &str) -> Result<String> {
    let length = json.len();
    let head = format!("POST {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {length}");
    exchange(
        address,
        &format!("{head}\r\nContent-Type: application/json\r\n\r\n{json}"),
    )
}

fn exchange(address: SocketAddr, request: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)
        .with_context(|| format!("{address} does not answer"))?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    body_of(&answer)
}

/// In HTTP/1.0 the body goes on until the connection ends: there is nothing to decode.
fn body_of(answer: &str) -> Result<String> {
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .context("the answer is no HTTP")?;
    let status = head.lines().next().unwrap_or_default();
    if status.split_whitespace().nth(1) != Some("200") {
        bail!("{status}: {body}");
    }
    Ok(body.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    #[test]
    fn a_post_carries_its_body_and_reads_the_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut seen = Vec::new();
            while !seen.ends_with(b"{\"a\":1}") {
                let mut more = [0; 256];
                let count = stream.read(&mut more).unwrap();
                seen.extend_from_slice(&more[..count]);
            }
            stream
                .write_all(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\nfine")
                .unwrap();
            String::from_utf8(seen).unwrap()
        });
        assert_eq!(post(address, "/request", "{\"a\":1}").unwrap(), "fine");
        let seen = server.join().unwrap();
        assert!(seen.starts_with("POST /request HTTP/1.0\r\n"), "{seen}");
        assert!(
            seen.contains("Content-Type: application/json\r\n"),
            "{seen}"
        );
    }

    #[test]
    fn another_status_is_an_error_that_shows_the_body() {
        let error = body_of("HTTP/1.1 503 Service Unavailable\r\n\r\nno ids").unwrap_err();
        assert_eq!(
            error.to_string(),
            "HTTP/1.1 503 Service Unavailable: no ids"
        );
        assert!(body_of("nonsense").is_err());
    }
}
