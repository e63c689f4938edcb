//! A gRPC call as plain HTTP/2, for requests made from inside a pod.
//!
//! A refusal comes without a message, so that its status stands in the headers ("Trailers-Only" in the
//! gRPC over HTTP/2 specification); an answer comes as one frame in the body.

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use serde_json::{Value, json};

use crate::pod::Answer;

/// What a call came to.
#[derive(Debug, PartialEq)]
pub enum Outcome<M> {
    /// The first message of the answer.
    Message(M),
    /// A status other than OK: its number and its words.
    Status(u16, String),
}

/// `PERMISSION_DENIED`.
pub const PERMISSION_DENIED: u16 = 7;
/// `UNAUTHENTICATED`.
pub const UNAUTHENTICATED: u16 = 16;

/// The `/request` for a call, proving itself with the token in a file of the pod.
#[must_use]
pub fn request(base: &str, method: &str, token_file: &str, message: &impl Message) -> Value {
    let encoded = message.encode_to_vec();
    let mut frame = vec![0];
    frame.extend(
        u32::try_from(encoded.len())
            .unwrap_or(u32::MAX)
            .to_be_bytes(),
    );
    frame.extend(encoded);
    json!({
        "method": "POST",
        "url": format!("{base}/{method}"),
        "headers": {
            "authorization": format!("Bearer ${{file:{token_file}}}"),
            "content-type": "application/grpc",
            "te": "trailers",
        },
        "body_base64": STANDARD.encode(frame),
        "http2": true,
        "insecure": true,
    })
}

/// Reads what `/request` answered.
///
/// # Errors
/// It is no gRPC answer.
pub fn outcome<M: Message + Default>(answer: &Answer) -> Result<Outcome<M>> {
    if answer.status != 200 {
        bail!("HTTP {} is no gRPC answer: {}", answer.status, answer.body);
    }
    if let Some(status) = answer
        .headers
        .get("grpc-status")
        .filter(|status| *status != "0")
    {
        let words = answer
            .headers
            .get("grpc-message")
            .cloned()
            .unwrap_or_default();
        return Ok(Outcome::Status(
            status.parse().context("grpc-status")?,
            words,
        ));
    }
    let length = answer
        .bytes
        .get(1..5)
        .context("an answer without a message")?;
    let length = u32::from_be_bytes(length.try_into()?) as usize;
    let message = answer
        .bytes
        .get(5..5 + length)
        .context("a frame that was cut")?;
    Ok(Outcome::Message(
        M::decode(message).context("not the expected message")?,
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use protocol::v1::ExchangeTokenRequest;

    use super::{Outcome, PERMISSION_DENIED, outcome, request};
    use crate::pod::Answer;

    fn answer(headers: &[(&str, &str)], bytes: Vec<u8>) -> Answer {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>();
        Answer {
            status: 200,
            headers,
            body: String::new(),
            bytes,
        }
    }

    #[test]
    fn a_frame_comes_back_as_it_was_sent() {
        let message = ExchangeTokenRequest {
            tenant: "acme".to_owned(),
            audience: String::new(),
        };
        let sent = request(
            "https://central:7750",
            "signet.v1.Sync/ExchangeToken",
            "/t",
            &message,
        );
        assert_eq!(
            sent["url"],
            "https://central:7750/signet.v1.Sync/ExchangeToken"
        );
        let frame = STANDARD
            .decode(sent["body_base64"].as_str().unwrap())
            .unwrap();
        let back = outcome::<ExchangeTokenRequest>(&answer(&[], frame)).unwrap();
        assert_eq!(back, Outcome::Message(message));
    }

    #[test]
    fn a_refusal_stands_in_the_headers() {
        let refused = answer(&[("grpc-status", "7"), ("grpc-message", "no")], Vec::new());
        let outcome = outcome::<ExchangeTokenRequest>(&refused).unwrap();
        assert_eq!(outcome, Outcome::Status(PERMISSION_DENIED, "no".to_owned()));
    }

    #[test]
    fn nothing_and_half_a_frame_are_errors() {
        assert!(outcome::<ExchangeTokenRequest>(&answer(&[], Vec::new())).is_err());
        assert!(outcome::<ExchangeTokenRequest>(&answer(&[], vec![0, 0, 0, 0, 9, 1])).is_err());
    }
}
