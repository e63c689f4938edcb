//! Calls as the operator and sidecars make them.

use std::time::Duration;

use protocol::v1::{
    AllocateRangeRequest, AllocateRangeResponse, ExchangeTokenRequest, ExchangeTokenResponse,
    allocate_range_response::Outcome,
};
use tonic::{Request, Response, Status};

use super::{
    Central,
    central::{ADMINISTRATOR, OPERATOR},
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
