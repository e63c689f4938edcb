//! Calls as the operator and sidecars make them.

use std::time::Duration;

use protocol::v1::{
    AllocateRangeRequest, AllocateRangeResponse, ExchangeTokenRequest, ExchangeTokenResponse,
    allocate_range_response::Outcome,
};
use tonic::{Request, Response, Status};

use super::{
    Central,
    central::{ADMINISTRATOR, BASE_URL, BILLING, CHECKOUT, OPERATOR},
    samples,
};

/// A call with a bearer token.
pub(crate) fn with_bearer<T>(bearer: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {bearer}").parse().unwrap());
    request
}

/// Waits for a condition, at most half a minute, and says which one did not come.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited
        .await
        .unwrap_or_else(|_| panic!("never came: {what}"));
}

impl Central {
    /// Declares the tenants acme (shop) and bank (bank) with a role and a generator each.
    pub(crate) async fn furnish(&self) {
        let mut provision = self.provision().await;
        for (tenant, namespace) in [("acme", "shop"), ("bank", "bank")] {
            let request = samples::tenant(tenant, &[namespace]);
            samples::applied_tenant(
                provision
                    .apply_tenant(with_bearer(OPERATOR, request))
                    .await
                    .unwrap(),
            );
            let request = samples::role(tenant, namespace, "reader", "checkout");
            samples::applied_role(
                provision
                    .apply_role(with_bearer(OPERATOR, request))
                    .await
                    .unwrap(),
            );
            let request = samples::generator(tenant, namespace, "order-id", 1, 9_000_000_000, 1000);
            samples::applied_generator(
                provision
                    .apply_id_generator(with_bearer(OPERATOR, request))
                    .await
                    .unwrap(),
            );
        }
    }

    pub(crate) async fn allocate(
        &self,
        bearer: &str,
        tenant: &str,
        count: u64,
    ) -> Result<Response<AllocateRangeResponse>, Status> {
        let request = AllocateRangeRequest {
            tenant: tenant.into(),
            generator: "order-id".into(),
            count,
            instance: "i".into(),
        };
        self.sync()
            .await
            .allocate_range(with_bearer(bearer, request))
            .await
    }

    pub(crate) async fn exchange(
        &self,
        bearer: &str,
        tenant: &str,
        audience: &str,
    ) -> Result<ExchangeTokenResponse, Status> {
        let request = ExchangeTokenRequest {
            tenant: tenant.into(),
            audience: audience.into(),
        };
        let answer = self
            .sync()
            .await
            .exchange_token(with_bearer(bearer, request))
            .await?;
        Ok(answer.into_inner())
    }

    /// A value of the metrics page; 0 when the series is not there.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let text = self
            .http
            .get(self.url("/metrics"))
            .bearer_auth(ADMINISTRATOR)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        let line = text
            .lines()
            .find(|line| line.split(' ').next() == Some(series));
        line.and_then(|line| line.rsplit(' ').next())
            .map_or(0.0, |value| value.parse().unwrap())
    }
}

/// The range of an answer.
pub(crate) fn range(answer: AllocateRangeResponse) -> (u64, u64) {
    match answer.outcome {
        Some(Outcome::Range(range)) => {
            assert_eq!(range.stride, 1);
            (range.start, range.end)
        }
        other => panic!("no range but {other:?}"),
    }
}

/// Fails when two ranges share an id.
pub(crate) fn assert_disjoint(mut ranges: Vec<(u64, u64)>) {
    ranges.sort_unstable();
    for pair in ranges.windows(2) {
        assert!(pair[0].1 <= pair[1].0, "given twice: {pair:?}");
    }
}

/// What came of a call of the API: its status and its body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: serde_json::Value,
}

impl Answer {
    /// The stable code of the error that was answered.
    pub(crate) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    /// What the error says.
    pub(crate) fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or_default()
    }

    /// A member of every item of a list.
    pub(crate) fn all(&self, list: &str, member: &str) -> Vec<serde_json::Value> {
        let items = self.body[list].as_array().unwrap();
        items.iter().map(|item| item[member].clone()).collect()
    }
}

impl Central {
    /// Calls the API with any method, token and body.
    pub(crate) async fn call(
        &self,
        bearer: &str,
        method: &str,
        path: &str,
        body: Option<serde_json::Value>,
    ) -> Answer {
        let method = method.parse().unwrap();
        let call = self
            .http
            .request(method, self.url(path))
            .bearer_auth(bearer);
        let call = match body {
            Some(body) => call.json(&body),
            None => call,
        };
        let answer = call.send().await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.json().await.unwrap_or_default();
        Answer { status, body }
    }

    /// What an administrator is answered.
    pub(crate) async fn ask(&self, path: &str) -> Answer {
        self.call(ADMINISTRATOR, "GET", path, None).await
    }

    /// A token of a tenant whose roles allow these actions on a resource of central's.
    pub(crate) async fn token_for(
        &self,
        (tenant, namespace, account, bearer): (&str, &str, &str, &str),
        resource: &str,
        actions: &[&str],
    ) -> String {
        let name = resource.replace('/', "-");
        let mut request = samples::role(tenant, namespace, &name, account);
        let rule = &mut request.spec.as_mut().unwrap().rules[0];
        rule.resources = vec![resource.to_owned()];
        rule.actions = actions.iter().map(|action| (*action).to_owned()).collect();
        let mut provision = self.provision().await;
        let applied = provision.apply_role(with_bearer(OPERATOR, request)).await;
        let position = samples::applied_role(applied.unwrap()).position;
        let path = format!("/api/v1/tenants/{tenant}?min_position={position}");
        assert_eq!(self.ask(&path).await.status, 200);
        let issuer = format!("{BASE_URL}/t/{tenant}");
        self.exchange(bearer, tenant, &issuer)
            .await
            .unwrap()
            .access_token
    }

    /// Fails unless a path of acme's takes acme's token with this resource and action, and neither a
    /// token of another tenant nor one of acme that may do something else.
    pub(crate) async fn assert_scoped(
        &self,
        resource: &str,
        action: &str,
        (method, path): (&str, &str),
        body: Option<serde_json::Value>,
    ) {
        let acme = ("acme", "shop", "checkout", CHECKOUT);
        let bank = ("bank", "bank", "billing", BILLING);
        let foreign = self.token_for(bank, resource, &["read", "write"]).await;
        let powerless = self.token_for(acme, "signet/nothing", &[action]).await;
        let other = if action == "read" { "write" } else { "read" };
        let mistaken = self.token_for(acme, resource, &[other]).await;
        for (who, token, status) in [
            ("of another tenant", foreign, 401),
            ("of no use", powerless, 403),
            ("for another action", mistaken, 403),
        ] {
            let answer = self.call(&token, method, path, body.clone()).await;
            assert_eq!(answer.status, status, "{method} {path} with a token {who}");
        }
        let token = self.token_for(acme, resource, &[action]).await;
        let answer = self.call(&token, method, path, body).await;
        assert!(
            answer.status < 300,
            "{method} {path}: {} {}",
            answer.status,
            answer.body
        );
    }
}
