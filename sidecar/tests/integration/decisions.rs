//! `POST /v1/authorize` and `/v1/authorize/batch`.

use protocol::v1::{Content, PolicyState, subscribe_response::State};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::central::{Central, Script, sample_roles};
use super::sidecar_under_test::Sidecar;
use super::until;

async fn decide(
    sidecar: &Sidecar,
    token: &str,
    action: &str,
    resource: &str,
    amount: u64,
) -> Value {
    let body = json!({
        "token": token, "resource": resource, "action": action, "request": { "amount": amount }
    });
    let answer = sidecar.post("/v1/authorize", body).await;
    assert_eq!(
        answer.status,
        StatusCode::OK,
        "a decision is always 200: {answer:?}"
    );
    let decision = answer.json();
    assert!(
        !decision["reason"].as_str().unwrap().is_empty(),
        "{decision}"
    );
    decision
}

#[tokio::test]
async fn a_decision_is_always_200_and_says_which_rule_made_it() {
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &[]).await;
    let token = central.script.token(|_| {});

    let allowed = decide(&sidecar, &token, "create", "orders/1", 10).await;
    assert_eq!(allowed["allowed"], true, "{allowed}");
    assert_eq!(
        (allowed["role"].as_str(), allowed["rule"].as_u64()),
        (Some("shop/order-writer"), Some(0))
    );
    let too_much = decide(&sidecar, &token, "create", "orders/1", 1_000).await;
    assert_eq!(too_much["allowed"], false);
    assert_eq!(too_much["role"], Value::Null);
    let inherited = decide(&sidecar, &token, "read", "orders/1", 5_000).await;
    assert_eq!(inherited["allowed"], true, "{inherited}");
    let unknown = decide(&sidecar, &token, "delete", "orders/1", 10).await;
    assert_eq!(unknown["allowed"], false);
    let denied = decide(&sidecar, &token, "read", "orders/secret", 10).await;
    assert_eq!(denied["allowed"], false);
    assert_eq!(
        denied["role"], "shop/no-secrets",
        "deny overrides: {denied}"
    );

    let counted = r#"signet_sidecar_decisions_total{result="refused"}"#;
    assert_eq!(sidecar.metric(counted).await, Some(3.0));
}

#[tokio::test]
async fn the_subject_is_whom_the_claims_name() {
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &[]).await;
    let script = &central.script;
    let cases = [
        (script.token(|claims| claims.sub = "ada".into()), false),
        (
            script.token(|claims| {
                claims.sub = "ada".into();
                claims.extra.insert("groups".into(), json!(["staff"]));
            }),
            true,
        ),
        (
            script.token(|claims| {
                claims.sub = "batch".into();
                claims.extra.insert("client_id".into(), json!("batch"));
            }),
            true,
        ),
        // A user who calls itself as a client is called is still a user.
        (script.token(|claims| claims.sub = "batch".into()), false),
    ];
    for (token, expected) in cases {
        let decision = decide(&sidecar, &token, "read", "reports/2026/11", 0).await;
        assert_eq!(decision["allowed"], expected, "{decision}");
    }
    let elsewhere = "spiffe://acme.cluster.local/ns/other/sa/checkout".to_owned();
    let namesake = script.token(|claims| claims.sub = elsewhere);
    let decision = decide(&sidecar, &namesake, "read", "orders/1", 1).await;
    assert_eq!(
        decision["allowed"], false,
        "of another namespace: {decision}"
    );
}

#[tokio::test]
async fn a_batch_is_answered_in_its_order() {
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &[]).await;
    let token = central.script.token(|_| {});
    let body = json!({ "token": token, "requests": [
        { "resource": "orders/1", "action": "create", "request": { "amount": 1 } },
        { "resource": "orders/1", "action": "delete" },
        { "resource": "orders/2", "action": "read" },
    ]});
    let answer = sidecar.post("/v1/authorize/batch", body).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let body = answer.json();
    let decisions = body["decisions"].as_array().unwrap();
    let allowed: Vec<_> = decisions
        .iter()
        .map(|one| one["allowed"].as_bool().unwrap())
        .collect();
    assert_eq!(allowed, [true, false, true]);
}

#[tokio::test]
async fn a_question_that_is_not_one_is_400() {
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &[]).await;
    let token = central.script.token(|_| {});
    let question = json!({ "resource": "r", "action": "a" });
    let cases = [
        ("/v1/authorize", json!({ "token": token, "action": "read" })),
        (
            "/v1/authorize",
            json!({ "token": token, "resource": "", "action": "read" }),
        ),
        (
            "/v1/authorize",
            json!({ "token": token, "resource": "r", "action": "a", "contxt": {} }),
        ),
        (
            "/v1/authorize",
            json!({ "token": token, "resource": "r", "action": "a", "request": 3 }),
        ),
        ("/v1/authorize", json!({ "resource": "r", "action": "a" })),
        ("/v1/authorize", json!([])),
        (
            "/v1/authorize/batch",
            json!({ "token": token, "requests": [] }),
        ),
        (
            "/v1/authorize/batch",
            json!({ "token": token, "requests": vec![question; 1_001] }),
        ),
        ("/v1/token/verify", json!({ "token": 7 })),
    ];
    for (path, body) in cases {
        let answer = sidecar.post(path, body.clone()).await;
        assert_eq!(
            answer.error(),
            (400, "SIGNET-SIDECAR-0001".to_owned()),
            "{path}: {body}"
        );
        assert!(!answer.text.contains(&token), "the token is repeated");
    }
}

#[tokio::test]
async fn a_new_policy_decides_and_an_unusable_one_does_not() {
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &[]).await;
    let token = central.script.token(|_| {});
    central
        .script
        .send(10, State::Policy(PolicyState::default()));
    until("nothing to be allowed", async || {
        let decision = decide(&sidecar, &token, "read", "orders/1", 1).await;
        (decision["allowed"] == false).then_some(())
    })
    .await;
    central.script.send(11, sample_roles());
    until("the roles to be back", async || {
        let decision = decide(&sidecar, &token, "read", "orders/1", 1).await;
        (decision["allowed"] == true).then_some(())
    })
    .await;

    let State::Policy(mut broken) = sample_roles() else {
        unreachable!()
    };
    for role in &mut broken.roles {
        for rule in &mut role.spec.as_mut().unwrap().rules {
            rule.when = "request.amount <".to_owned();
        }
    }
    central.script.send(12, State::Policy(broken));
    let reason = until("a refusal", async || {
        central.script.acknowledged(Content::Policy, 12)
    })
    .await;
    assert!(reason.contains("compiles"), "{reason}");
    let decision = decide(&sidecar, &token, "read", "orders/1", 1).await;
    assert_eq!(decision["allowed"], true, "what was held still decides");
    let status = sidecar.get("/v1/status").await.json();
    assert_eq!(status["content"]["policy"]["version"], 11);
}

#[tokio::test]
async fn verifying_and_deciding_ask_nobody() {
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &[]).await;
    let all_acknowledged = || {
        (1..=3).all(|version| {
            let contents = [Content::Keys, Content::Policy, Content::Generators];
            central
                .script
                .acknowledged(contents[version - 1], version as u64)
                .is_some()
        })
    };
    until("everything is acknowledged", async || {
        all_acknowledged().then_some(())
    })
    .await;
    let before = central.script.messages();

    for number in 0..50 {
        let token = central
            .script
            .token(|claims| claims.jti = Some(number.to_string()));
        assert_eq!(sidecar.verify(&token).await.status, StatusCode::OK);
        decide(&sidecar, &token, "create", "orders/1", number).await;
        assert_eq!(
            sidecar.verify("garbage").await.status,
            StatusCode::UNAUTHORIZED
        );
    }

    assert_eq!(central.script.messages(), before, "central was asked");
}
