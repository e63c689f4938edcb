//! An API server in memory, as far as optimistic concurrency goes: objects by path, each write under
//! a new resourceVersion, stale writes refused. Tests of races need one that they can race on; what
//! else an API server does is tested on a real one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

#[derive(Default)]
struct Objects {
    by_path: HashMap<String, Value>,
    version: u64,
}

/// A client of a new, empty API server. Clones talk to the same one.
pub(crate) fn client() -> Client {
    let objects = Arc::new(Mutex::new(Objects::default()));
    let service = tower::service_fn(move |request: Request<Body>| {
        let objects = Arc::clone(&objects);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect_bytes().await.unwrap();
            // Others get their turn between any two requests.
            tokio::task::yield_now().await;
            let (status, body) =
                objects
                    .lock()
                    .unwrap()
                    .answer(&head.method, head.uri.path(), &body);
            let body = Body::from(body.to_string().into_bytes());
            let response = Response::builder().status(status).body(body).unwrap();
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    Client::new(service, "default")
}

impl Objects {
    fn answer(&mut self, method: &Method, path: &str, body: &[u8]) -> (StatusCode, Value) {
        match *method {
            Method::GET => match self.by_path.get(path) {
                Some(object) => (StatusCode::OK, object.clone()),
                None => failure(StatusCode::NOT_FOUND, "NotFound"),
            },
            Method::POST => {
                let object: Value = serde_json::from_slice(body).unwrap();
                let path = format!("{path}/{}", object["metadata"]["name"].as_str().unwrap());
                if self.by_path.contains_key(&path) {
                    return failure(StatusCode::CONFLICT, "AlreadyExists");
                }
                (StatusCode::CREATED, self.store(path, object))
            }
            Method::PUT => {
                let object: Value = serde_json::from_slice(body).unwrap();
                let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
                match self.by_path.get(path) {
                    None => failure(StatusCode::NOT_FOUND, "NotFound"),
                    Some(current) if version(current) != version(&object) => {
                        failure(StatusCode::CONFLICT, "Conflict")
                    }
                    Some(_) => (StatusCode::OK, self.store(path.into(), object)),
                }
            }
            _ => failure(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
        }
    }

    fn store(&mut self, path: String, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.by_path.insert(path, object.clone());
        object
    }
}

fn failure(status: StatusCode, reason: &str) -> (StatusCode, Value) {
    let status_object = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "metadata": {},
        "reason": reason, "message": reason, "code": status.as_u16(),
    });
    (status, status_object)
}
