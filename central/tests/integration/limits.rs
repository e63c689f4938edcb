//! Who calls too often is told how long to wait, and nobody else waits with them; who declares too much
//! is told what of it.

use tonic::Code;

use crate::support::{
    Central, Database, Secrets,
    central::{BILLING, CHECKOUT, OPERATOR},
    samples::{applied_role, role},
    with_bearer,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_ranges_too_often_is_told_how_long_to_wait() {
    let flags = ["--allocation-rate", "1"];
    let central = Central::start(&Secrets::new(), &Database::sqlite(), &flags).await;
    central.furnish().await;

    // Each is refused unless a second passed since the one before.
    let mut refused = None;
    for _ in 0..100 {
        if let Err(status) = central.allocate(CHECKOUT, "acme", 1).await {
            refused = Some(status);
            break;
        }
    }

    let status = refused.expect("a hundred calls were not too many");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert_eq!(status.metadata().get("retry-after").unwrap(), "1");
    assert_eq!(
        status.metadata().get("signet-code").unwrap(),
        "SIGNET-CENTRAL-0018"
    );
    let series = r#"signet_central_commands_total{command="AllocateRange",outcome="limited",stream_type="generator"}"#;
    assert!(central.metric(series).await >= 1.0);
    // Another tenant has a rate of its own, and so has another command.
    assert!(central.allocate(BILLING, "bank", 1).await.is_ok());
    let request = role("acme", "shop", "writer", "checkout");
    let mut provision = central.provision().await;
    let applied = provision.apply_role(with_bearer(OPERATOR, request)).await;
    applied_role(applied.unwrap());
}

#[tokio::test]
async fn a_role_that_is_larger_than_an_event_may_be_is_refused_by_what_is_large() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;
    let mut request = role("acme", "shop", "large", "checkout");
    let spec = request.spec.as_mut().unwrap();
    spec.rules[0].resources = (0..100)
        .map(|n| format!("{}/{n}", "x".repeat(200)))
        .collect();
    spec.rules = vec![spec.rules[0].clone(); 100];
    let mut provision = central.provision().await;

    let refused = provision.apply_role(with_bearer(OPERATOR, request)).await;

    let status = refused.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert!(status.message().starts_with("spec: "), "{status:?}");
    assert!(!status.message().contains("writes"), "{status:?}");
}
