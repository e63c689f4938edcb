//! The service `signet.v1.Sync`, as the script says.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use protocol::v1::sync_server::Sync as SyncService;
use protocol::v1::{
    AllocateRangeRequest, AllocateRangeResponse, Current, ExchangeTokenRequest,
    ExchangeTokenResponse, Exhausted, Range, SubscribeRequest, SubscribeResponse, UnknownGenerator,
    allocate_range_response::Outcome, subscribe_request::Message, subscribe_response::State,
};
use tokio_stream::wrappers::BroadcastStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Allocating, Script};

pub(super) struct Served(pub(super) Arc<Script>);

type Responses = Pin<Box<dyn Stream<Item = Result<SubscribeResponse, Status>> + Send>>;

#[tonic::async_trait]
impl SyncService for Served {
    type SubscribeStream = Responses;

    async fn subscribe(
        &self,
        request: Request<Streaming<SubscribeRequest>>,
    ) -> Result<Response<Responses>, Status> {
        let script = Arc::clone(&self.0);
        script.authenticate(&request)?;
        let (news, mut hang_ups) = (script.news.subscribe(), script.hang_ups.subscribe());
        let mut requests = request.into_inner();
        let Some(SubscribeRequest {
            message: Some(Message::Hello(hello)),
        }) = requests.message().await?
        else {
            return Err(Status::invalid_argument(
                "the first message must be a hello",
            ));
        };
        script.hellos.lock().unwrap().push(hello.clone());
        let acknowledging = Arc::clone(&script);
        tokio::spawn(async move {
            while let Ok(Some(SubscribeRequest {
                message: Some(message),
            })) = requests.message().await
            {
                if let Message::Acknowledgement(one) = message {
                    acknowledging.acknowledgements.lock().unwrap().push(one);
                }
            }
        });
        if *script.silent.lock().unwrap() {
            return Ok(Response::new(Box::pin(stream::pending())));
        }
        let first: Vec<_> = hello
            .wants
            .iter()
            .filter_map(|held| {
                let message = script.state.lock().unwrap().get(&held.content).cloned()?;
                if message.version == held.version {
                    let state = Some(State::Current(Current {}));
                    return Some(Ok(SubscribeResponse { state, ..message }));
                }
                Some(Ok(message))
            })
            .collect();
        let news = BroadcastStream::new(news).filter_map(async |one| one.ok().map(Ok));
        let stream = stream::iter(first).chain(news).take_until(async move {
            let _ = hang_ups.recv().await;
        });
        Ok(Response::new(Box::pin(stream)))
    }

    async fn allocate_range(
        &self,
        request: Request<AllocateRangeRequest>,
    ) -> Result<Response<AllocateRangeResponse>, Status> {
        let script = &self.0;
        script.authenticate(&request)?;
        let request = request.into_inner();
        script.allocations.lock().unwrap().push(request.clone());
        let allocating = *script.allocating.lock().unwrap();
        let step = script.step.load(Ordering::SeqCst);
        let outcome = match allocating {
            Allocating::Gives => {
                let count = request.count.div_ceil(step) * step;
                let start = script.next_id.fetch_add(count, Ordering::SeqCst);
                Outcome::Range(Range {
                    start,
                    end: start + count,
                    stride: 1,
                    epoch: start,
                })
            }
            Allocating::Waits => {
                tokio::time::sleep(Duration::from_secs(3600)).await;
                return Err(Status::deadline_exceeded("too late"));
            }
            Allocating::IsExhausted => Outcome::Exhausted(Exhausted {}),
            Allocating::KnowsNoSuchGenerator => Outcome::UnknownGenerator(UnknownGenerator {}),
            Allocating::Fails => return Err(Status::unavailable("the store is away")),
            Allocating::Repeats => Outcome::Range(Range {
                start: 0,
                end: 1_000,
                stride: 1,
                epoch: 1,
            }),
        };
        Ok(Response::new(AllocateRangeResponse {
            outcome: Some(outcome),
        }))
    }

    async fn exchange_token(
        &self,
        request: Request<ExchangeTokenRequest>,
    ) -> Result<Response<ExchangeTokenResponse>, Status> {
        let script = &self.0;
        script.authenticate(&request)?;
        if let Some(status) = script.exchange_refused.lock().unwrap().clone() {
            return Err(status);
        }
        let request = request.into_inner();
        let lifetime = script.token_lifetime_seconds.load(Ordering::SeqCst);
        let number = {
            let mut exchanges = script.exchanges.lock().unwrap();
            exchanges.push(request.clone());
            exchanges.len()
        };
        let access_token = script.token(|claims| {
            claims.aud = vec![request.audience];
            claims.exp = claims.iat + i64::try_from(lifetime).unwrap();
            claims.jti = Some(number.to_string());
        });
        let answer = ExchangeTokenResponse {
            access_token,
            expires_in_seconds: lifetime,
        };
        Ok(Response::new(answer))
    }
}
