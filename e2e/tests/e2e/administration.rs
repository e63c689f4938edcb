//! What administrators see with the bootstrap secret, and nobody without it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::namespace::with_tenant;
use e2e::objects::{self, SECRET};
use e2e::pod::CENTRAL_TOKEN_FILE;
use e2e::{Answer, Application, Cluster, Observed, Pod, SYSTEM_NAMESPACE, await_condition};
use serde_json::{Value, json};

const CENTRAL: &str = "https://signet-central.signet-system.svc:7750";

/// GETs a path of central, whose certificate must be of this authority.
async fn get(pod: &Pod, path: &str, bearer: Option<&str>, authority: &str) -> Result<Answer> {
    let mut request = json!({ "url": format!("{CENTRAL}{path}"), "ca": authority });
    if let Some(bearer) = bearer {
        request["headers"] = json!({ "authorization": format!("Bearer {bearer}") });
    }
    pod.request(&request).await
}

/// A value of a Secret of the release.
async fn secret(cluster: &Cluster, name: &str, key: &str) -> Result<String> {
    let secret = cluster.get(SECRET, Some(SYSTEM_NAMESPACE), name).await?;
    let encoded = secret["data"][key]
        .as_str()
        .with_context(|| format!("{name} has no {key}"))?;
    let text = String::from_utf8(STANDARD.decode(encoded)?)?;
    Ok(text.trim().to_owned())
}

/// The tenants and the metrics, over TLS, for the bootstrap secret and no other credential.
pub(crate) async fn needs_the_bootstrap_secret(cluster: &Cluster) -> Result<()> {
    with_tenant(cluster, "admin", async |scope| {
        let pod = Application::new(&scope.namespace, "shopper")
            .deploy_one(cluster)
            .await?;
        let authority = secret(cluster, "signet-central-tls", "ca.crt").await?;
        let bootstrap = secret(cluster, "signet-bootstrap", "token").await?;

        // The replica that is asked may not have heard of the tenant yet.
        let tenant = await_condition(
            "the tenant to be listed",
            Duration::from_secs(30),
            async || {
                let answer = get(&pod, "/api/v1/tenants", Some(&bootstrap), &authority).await?;
                let answer = answer.expect(200)?.json()?;
                let listed = objects::list(&answer, "/tenants")
                    .iter()
                    .find(|one| one["name"] == scope.tenant.as_str());
                Ok(Observed::from_option(listed.cloned(), answer.to_string()))
            },
        )
        .await?;
        ensure!(tenant["standing"] == "open", "{tenant}");
        let metrics = get(&pod, "/metrics", Some(&bootstrap), &authority).await?;
        ensure!(
            metrics.expect(200)?.body.contains("signet_central_"),
            "no metrics"
        );

        let workload = format!("${{file:{CENTRAL_TOKEN_FILE}}}");
        let token = pod.token().await?;
        for path in ["/api/v1/tenants", "/metrics"] {
            for (what, bearer) in [
                ("nothing", None),
                ("another secret", Some("not-the-bootstrap-secret")),
                ("a ServiceAccount's token", Some(workload.as_str())),
                ("a tenant's token", Some(token.as_str())),
            ] {
                let answer = get(&pod, path, bearer, &authority).await?;
                refused(&answer).with_context(|| format!("{path} with {what}"))?;
            }
        }
        let unknown = json!({ "url": format!("{CENTRAL}/live") });
        ensure!(
            pod.request(&unknown).await.is_err(),
            "central's certificate is of an authority that everybody trusts"
        );
        Ok(())
    })
    .await
}

fn refused(answer: &Answer) -> Result<()> {
    let error: Value = answer.clone().expect(401)?.json()?;
    ensure!(
        error["error"]["code"]
            .as_str()
            .is_some_and(|code| code.starts_with("SIGNET-CENTRAL-")),
        "{error}"
    );
    Ok(())
}
