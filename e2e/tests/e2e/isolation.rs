//! A second tenant beside the first, which tries for the first one's tokens, ids, roles and keys.

use anyhow::{Context, Result, anyhow, bail, ensure};
use e2e::grpc::{self, Outcome, PERMISSION_DENIED};
use e2e::namespace::{Scope, with_tenant};
use e2e::objects::{self, ID_GENERATOR, ROLE, TENANT};
use e2e::pod::CENTRAL_TOKEN_FILE;
use e2e::resources::{apply_ready, await_not_ready, role, segment};
use e2e::{Application, Cluster, Pod};
use prost::Message;
use protocol::v1;
use serde_json::{Value, json};

const CENTRAL: &str = "https://signet-central.signet-system.svc:7750";
const FIRST_GENERATOR: &str = "order-id";
const SECOND_GENERATOR: &str = "invoice-id";

/// A tenant with a role, a generator and a pod.
struct Side<'a> {
    scope: &'a Scope,
    pod: Pod,
    token: String,
}

impl<'a> Side<'a> {
    async fn set_up(scope: &'a Scope, generator: &str, resources: &str) -> Result<Self> {
        let (cluster, namespace) = (&scope.cluster, &scope.namespace);
        let rules = json!([
            { "effect": "Allow", "resources": [resources], "actions": ["create", "read"] },
        ]);
        let writer = role(namespace, "writer", &scope.tenant, "shopper", &rules);
        apply_ready(cluster, &writer).await?;
        let ids = segment(
            namespace,
            generator,
            &scope.tenant,
            (1, 1_000_000_000, 1_000),
        );
        apply_ready(cluster, &ids).await?;
        let pod = Application::new(namespace, "shopper")
            .deploy_one(cluster)
            .await?;
        let token = pod.token().await?;
        Ok(Self { scope, pod, token })
    }

    /// A gRPC call of central, by the pod's own identity.
    async fn call<M: Message + Default>(
        &self,
        method: &str,
        message: &impl Message,
    ) -> Result<Outcome<M>> {
        let method = format!("signet.v1.Sync/{method}");
        let request = grpc::request(CENTRAL, &method, CENTRAL_TOKEN_FILE, message);
        grpc::outcome(&self.pod.request(&request).await?)
    }

    async fn issuer(&self) -> Result<String> {
        let tenant = self
            .scope
            .cluster
            .get(TENANT, None, &self.scope.tenant)
            .await?;
        Ok(objects::text(&tenant, "/status/issuer")?.to_owned())
    }
}

/// Every try is first made by whoever may, so that a refusal means what it seems to.
pub(crate) async fn second_tenant_gets_nothing(cluster: &Cluster) -> Result<()> {
    with_tenant(cluster, "first", async |first| {
        with_tenant(cluster, "second", async |second| {
            let first = Side::set_up(first, FIRST_GENERATOR, "orders/*").await?;
            let second = Side::set_up(second, SECOND_GENERATOR, "invoices/*").await?;
            tokens_are_not_taken(&first, &second)
                .await
                .context("tokens")?;
            tokens_are_not_given(&first, &second)
                .await
                .context("exchange")?;
            ids_are_not_given(&first, &second).await.context("ids")?;
            state_is_not_sent(&first, &second)
                .await
                .context("keys and roles by stream")?;
            roles_do_not_reach_over(&first, &second)
                .await
                .context("roles")?;
            keys_differ(&first, &second).await.context("keys")?;
            pods_cannot_choose_a_foreign_tenant(&first, &second)
                .await
                .context("injection")
        })
        .await
    })
    .await
}

async fn tokens_are_not_taken(first: &Side<'_>, second: &Side<'_>) -> Result<()> {
    first.pod.verify(&first.token).await?.expect(200)?;
    let refused = second.pod.verify(&first.token).await?.expect(401)?.json()?;
    let code = refused["error"]["code"].as_str().unwrap_or_default();
    ensure!(code.starts_with("SIGNET-TOKEN-"), "{refused}");
    let body = json!({ "amount": 1 });
    first
        .pod
        .call_orders(&first.pod, "POST", &first.token, &body)
        .await?
        .expect(200)?;
    first
        .pod
        .call_orders(&second.pod, "POST", &first.token, &body)
        .await?
        .expect(401)?;
    Ok(())
}

async fn tokens_are_not_given(first: &Side<'_>, second: &Side<'_>) -> Result<()> {
    let request = |tenant: &str| v1::ExchangeTokenRequest {
        tenant: tenant.to_owned(),
        audience: String::new(),
    };
    let own: Outcome<v1::ExchangeTokenResponse> = second
        .call("ExchangeToken", &request(&second.scope.tenant))
        .await?;
    ensure!(
        matches!(&own, Outcome::Message(one) if !one.access_token.is_empty()),
        "own refused"
    );
    let foreign = second
        .call("ExchangeToken", &request(&first.scope.tenant))
        .await?;
    denied::<v1::ExchangeTokenResponse>(&foreign)?;

    let own = exchange(&second.pod, &second.issuer().await?).await?;
    ensure!(
        own.0 == 200 && own.1["access_token"].is_string(),
        "own refused: {own:?}"
    );
    let (status, body) = exchange(&second.pod, &first.issuer().await?).await?;
    ensure!((400..500).contains(&status), "HTTP {status}: {body}");
    ensure!(
        body["error"].is_string(),
        "no error as RFC 6749 has it: {body}"
    );
    ensure!(body.get("access_token").is_none(), "a foreign token");
    Ok(())
}

/// The token exchange of RFC 8693 at an issuer's token endpoint.
async fn exchange(pod: &Pod, issuer: &str) -> Result<(u16, Value)> {
    let form = format!(
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange\
         &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt\
         &subject_token=${{file:{CENTRAL_TOKEN_FILE}}}"
    );
    let answer = pod
        .request(&json!({
            "method": "POST",
            "url": format!("{issuer}/oauth2/token"),
            "headers": { "content-type": "application/x-www-form-urlencoded" },
            "body": form,
            "insecure": true,
        }))
        .await?;
    Ok((answer.status, answer.json()?))
}

async fn ids_are_not_given(first: &Side<'_>, second: &Side<'_>) -> Result<()> {
    first.pod.take_all_ids(FIRST_GENERATOR, 10, 1).await?;
    let path = format!("/v1/ids/{FIRST_GENERATOR}");
    let unknown = second.pod.ask_sidecar(&path).await?.expect(404)?.json()?;
    ensure!(unknown["error"]["code"] == "IDGEN-COMMON-0006", "{unknown}");

    let request = |tenant: &Scope, generator: &str| v1::AllocateRangeRequest {
        tenant: tenant.tenant.clone(),
        generator: generator.to_owned(),
        count: 10,
        instance: second.pod.name.clone(),
    };
    let own = request(second.scope, SECOND_GENERATOR);
    let own: Outcome<v1::AllocateRangeResponse> = second.call("AllocateRange", &own).await?;
    let outcome = message(own)?.outcome.context("no outcome")?;
    ensure!(
        matches!(outcome, v1::allocate_range_response::Outcome::Range(_)),
        "own generator: {outcome:?}"
    );
    let named_alike = request(second.scope, FIRST_GENERATOR);
    let unknown: Outcome<v1::AllocateRangeResponse> =
        second.call("AllocateRange", &named_alike).await?;
    let outcome = message(unknown)?.outcome.context("no outcome")?;
    ensure!(
        matches!(
            outcome,
            v1::allocate_range_response::Outcome::UnknownGenerator(_)
        ),
        "a generator of another tenant: {outcome:?}"
    );
    let foreign = request(first.scope, FIRST_GENERATOR);
    denied::<v1::AllocateRangeResponse>(&second.call("AllocateRange", &foreign).await?)
}

/// The stream of keys and roles, asked for in the first tenant's name.
async fn state_is_not_sent(first: &Side<'_>, second: &Side<'_>) -> Result<()> {
    let wants = [
        v1::Content::Keys,
        v1::Content::Policy,
        v1::Content::Generators,
    ];
    let hello = v1::SubscribeRequest {
        message: Some(v1::subscribe_request::Message::Hello(v1::Hello {
            tenant: first.scope.tenant.clone(),
            wants: wants
                .map(|content| v1::Held {
                    content: content.into(),
                    version: 0,
                    store: String::new(),
                })
                .to_vec(),
            instance: second.pod.name.clone(),
        })),
    };
    denied::<v1::SubscribeResponse>(&second.call("Subscribe", &hello).await?)
}

async fn roles_do_not_reach_over(first: &Side<'_>, second: &Side<'_>) -> Result<()> {
    let (cluster, namespace) = (&second.scope.cluster, &second.scope.namespace);
    let rules = json!([{ "effect": "Allow", "resources": ["**"], "actions": ["*"] }]);
    // Bound to an account of the same name: it must neither serve the first tenant nor the second.
    cluster
        .apply(&role(
            namespace,
            "thief",
            &first.scope.tenant,
            "shopper",
            &rules,
        ))
        .await?;
    let thief = await_not_ready(cluster, ROLE, Some(namespace), "thief").await?;
    ensure!(thief["reason"] == "NamespaceNotAdmitted", "{thief}");
    let ids = segment(
        namespace,
        FIRST_GENERATOR,
        &first.scope.tenant,
        (1, 1_000, 10),
    );
    cluster.apply(&ids).await?;
    let ids = await_not_ready(cluster, ID_GENERATOR, Some(namespace), FIRST_GENERATOR).await?;
    ensure!(ids["reason"] == "NamespaceNotAdmitted", "{ids}");

    for (side, resource, expected) in [
        (first, "orders/1", true),
        (first, "invoices/1", false),
        (second, "invoices/1", true),
        (second, "orders/1", false),
    ] {
        let question = json!({ "token": side.token, "resource": resource, "action": "read" });
        let answer = side
            .pod
            .tell_sidecar("/v1/authorize", &question)
            .await?
            .expect(200)?;
        let decision = answer.json()?;
        ensure!(
            decision["allowed"] == expected,
            "{} {resource}: {decision}",
            side.scope.tenant
        );
    }
    Ok(())
}

async fn keys_differ(first: &Side<'_>, second: &Side<'_>) -> Result<()> {
    let (first_keys, second_keys) = (keys(first).await?, keys(second).await?);
    for key in &first_keys {
        ensure!(
            !second_keys.contains(key),
            "both tenants have the key {key}"
        );
    }
    Ok(())
}

/// The public numbers of a tenant's keys, as anybody may read them.
async fn keys(side: &Side<'_>) -> Result<Vec<String>> {
    let url = format!("{}/jwks", side.issuer().await?);
    let request = json!({ "url": url, "insecure": true });
    let document = side.pod.request(&request).await?.expect(200)?.json()?;
    let keys = objects::list(&document, "/keys");
    ensure!(!keys.is_empty(), "no keys: {document}");
    keys.iter()
        .map(|key| {
            ensure!(key.get("d").is_none(), "a private key is published");
            Ok(objects::text(key, "/x")?.to_owned())
        })
        .collect()
}

async fn pods_cannot_choose_a_foreign_tenant(first: &Side<'_>, second: &Side<'_>) -> Result<()> {
    let cluster = &second.scope.cluster;
    let shopper = |name: &str, tenant: &str| {
        Application::new(&second.scope.namespace, name)
            .account("shopper")
            .annotation("signet.dev/tenant", tenant)
            .pod_manifest(cluster)
    };
    let own = cluster
        .try_create(&shopper("own", &second.scope.tenant)?, true)
        .await?;
    own.map_err(|refused| anyhow!("its own tenant: {}", refused.message))?;
    let thief = shopper("thief", &first.scope.tenant)?;
    let refused = cluster
        .try_create(&thief, false)
        .await?
        .err()
        .context("the pod was admitted")?;
    ensure!(
        refused.message.contains("signet.dev/tenant"),
        "{}",
        refused.message
    );
    Ok(())
}

fn message<M>(outcome: Outcome<M>) -> Result<M> {
    match outcome {
        Outcome::Message(message) => Ok(message),
        Outcome::Status(status, words) => bail!("gRPC status {status}: {words}"),
    }
}

fn denied<M>(outcome: &Outcome<M>) -> Result<()> {
    match outcome {
        Outcome::Status(PERMISSION_DENIED, _) => Ok(()),
        Outcome::Status(status, words) => bail!("gRPC status {status}: {words}"),
        Outcome::Message(_) => bail!("it was given"),
    }
}
