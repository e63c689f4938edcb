//! Who calls too often is told how long to wait, and nobody else waits with them.

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
