//! Tokens that do not hold, shown to a real sidecar: 401 with the reason, never 500.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::jwt::Parts;
use e2e::namespace::{with_tenant, with_tenant_of};
use e2e::pod::{Answer, CENTRAL_TOKEN_FILE};
use e2e::{Application, Cluster, Observed, await_condition};
use serde_json::json;

/// Malformed, unsigned, tampered, foreign, for another audience.
pub(crate) async fn forged_tokens_are_refused(cluster: &Cluster) -> Result<()> {
    with_tenant(cluster, "forged", async |scope| {
        let pod = Application::new(&scope.namespace, "shopper")
            .deploy_one(cluster)
            .await?;
        let good = pod.token().await?;
        pod.verify(&good).await?.expect(200)?;
        let parts = Parts::of(&good)?;
        let admin = json!("spiffe://x/ns/kube-system/sa/admin");
        let long_ago = json!(1_000_000_000);
        let other_issuer = json!("https://issuer.example/t/acme");
        let forgeries = [
            ("garbage", "not a token".to_owned(), "0001"),
            ("two parts", "e30.e30".to_owned(), "0001"),
            ("unsigned", parts.clone().unsigned().token(), "0002"),
            (
                "another signature",
                parts.clone().with_broken_signature().token(),
                "0005",
            ),
            (
                "another subject",
                parts.clone().with_claim("sub", admin).token(),
                "0005",
            ),
            (
                "another expiry",
                parts.clone().with_claim("exp", long_ago).token(),
                "0005",
            ),
            (
                "another issuer",
                parts.clone().with_claim("iss", other_issuer).token(),
                "",
            ),
            ("far too long", format!("{good}{}", "A".repeat(20_000)), ""),
        ];
        for (what, token, code) in forgeries {
            refused(&pod.verify(&token).await?, code).with_context(|| format!("verify: {what}"))?;
            let question = json!({ "token": token, "resource": "orders/1", "action": "read" });
            let answer = pod.tell_sidecar("/v1/authorize", &question).await?;
            refused(&answer, code).with_context(|| format!("authorize: {what}"))?;
        }
        let body = format!("{{\"token\": \"${{file:{CENTRAL_TOKEN_FILE}}}\"}}");
        let foreign = json!({
            "method": "POST",
            "url": "${env:SIGNET_URL}/v1/token/verify",
            "headers": { "content-type": "application/json" },
            "body": body,
        });
        refused(&pod.request(&foreign).await?, "").context("signed by the cluster's issuer")?;
        let elsewhere = json!({ "token": good, "audience": "somebody-else" });
        let answer = pod.tell_sidecar("/v1/token/verify", &elsewhere).await?;
        refused(&answer, "0010").context("wrong audience")?;
        let nothing = pod.tell_sidecar("/v1/token/verify", &json!({})).await?;
        ensure!(
            nothing.status == 400,
            "no token at all: HTTP {}",
            nothing.status
        );
        Ok(())
    })
    .await
}

/// A token holds as long as the tenant says, then no more; the sidecar has another by then.
pub(crate) async fn expired_token_is_refused(cluster: &Cluster) -> Result<()> {
    let short = |tenant: &mut serde_json::Value| {
        tenant["spec"]["tokens"]["accessTokenLifetime"] = json!("1m");
    };
    with_tenant_of(cluster, "expiry", short, async |scope| {
        let pod = Application::new(&scope.namespace, "shopper")
            .deploy_one(cluster)
            .await?;
        let token = pod.token().await?;
        let claims = Parts::of(&token)?.claims;
        let lifetime = claims["exp"]
            .as_i64()
            .zip(claims["iat"].as_i64())
            .map(|(exp, iat)| exp - iat);
        ensure!(lifetime == Some(60), "the token holds for {lifetime:?} s");
        pod.verify(&token).await?.expect(200)?;
        // The lifetime and the leeway of 30 s, and some more.
        await_condition(
            "the token to expire",
            Duration::from_secs(150),
            async || {
                let answer = pod.verify(&token).await?;
                Ok(Observed::from_option(
                    (answer.status != 200).then(|| refused(&answer, "0006")),
                    format!("HTTP {}", answer.status),
                ))
            },
        )
        .await??;
        let renewed = pod.token().await?;
        pod.verify(&renewed).await?.expect(200)?;
        Ok(())
    })
    .await
}

/// 401 in the shape of all errors, with this code of the token crate (empty: any of them).
fn refused(answer: &Answer, code: &str) -> Result<()> {
    ensure!(
        answer.status == 401,
        "HTTP {} instead of 401: {}",
        answer.status,
        answer.body
    );
    let error = answer.json()?["error"].clone();
    let found = error["code"].as_str().context("no code")?;
    let number = found
        .strip_prefix("SIGNET-TOKEN-")
        .with_context(|| format!("code {found}"))?;
    ensure!(
        code.is_empty() || number == code,
        "{found} instead of {code}: {error}"
    );
    for field in ["message", "timestamp", "request_id"] {
        ensure!(
            error[field].as_str().is_some_and(|text| !text.is_empty()),
            "no {field}: {error}"
        );
    }
    Ok(())
}
