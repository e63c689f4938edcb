//! Chains that a TLS client accepts, and what is due when.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use time::{Duration, OffsetDateTime};

use super::*;

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap()
}

fn names() -> Vec<String> {
    webhook_names("signet-system")
}

/// What a TLS client that trusts `authority` says of `leaf` under `name` at `at`.
fn verified(authority: &Pair, leaf: &Pair, name: &str, at: OffsetDateTime) -> Result<(), String> {
    let mut roots = rustls::RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(authority.certificate.as_bytes()) {
        roots.add(root.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .unwrap();
    let certificate = CertificateDer::from_pem_slice(leaf.certificate.as_bytes()).unwrap();
    let at = u64::try_from(at.unix_timestamp()).unwrap();
    let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(at));
    verifier
        .verify_server_cert(
            &certificate,
            &[],
            &ServerName::try_from(name).unwrap(),
            &[],
            at,
        )
        .map(|_| ())
        .map_err(|error| error.to_string())
}

#[test]
fn a_client_that_trusts_the_authority_accepts_the_leaf_under_its_names_and_no_other() {
    let authority = authority(now()).unwrap();
    let leaf = leaf(&authority, &names(), now()).unwrap();
    for name in ["signet-operator.signet-system.svc", "signet-operator"] {
        verified(&authority, &leaf, name, now()).unwrap();
    }
    assert!(verified(&authority, &leaf, "signet-central", now()).is_err());
    let after = now() + LEAF_LIFETIME + Duration::hours(1);
    assert!(verified(&authority, &leaf, "signet-operator", after).is_err());
    let stranger = super::authority(now()).unwrap();
    assert!(verified(&stranger, &leaf, "signet-operator", now()).is_err());
}

#[test]
fn central_is_known_by_the_names_sidecars_and_its_own_probes_use() {
    let authority = authority(now()).unwrap();
    let leaf = leaf(&authority, &central_names("signet-system"), now()).unwrap();
    for name in [
        "signet-central.signet-system.svc",
        "signet-central.signet-system.svc.cluster.local",
        "signet-central",
        "localhost",
    ] {
        verified(&authority, &leaf, name, now()).unwrap();
    }
}

#[test]
fn who_trusts_the_older_authority_trusts_what_the_renewed_one_signs() {
    let older = authority(now()).unwrap();
    let later = now() + Duration::days(365 * 9);
    let newer = renewed_authority(&older, later).unwrap();
    assert_ne!(newer.certificate, older.certificate);
    let leaf = leaf(&newer, &names(), later).unwrap();
    verified(&older, &leaf, "signet-operator", later).unwrap();
    verified(&newer, &leaf, "signet-operator", later).unwrap();
    assert_eq!(
        plan_leaf(Some(&leaf), &newer, &names(), later, Horizon::Ahead),
        Plan::Keep
    );
}

#[test]
fn a_leaf_is_renewed_ahead_by_the_leader_and_at_its_end_by_anyone() {
    let authority = authority(now()).unwrap();
    let leaf = leaf(&authority, &names(), now()).unwrap();
    let plan = |days, horizon| {
        plan_leaf(
            Some(&leaf),
            &authority,
            &names(),
            now() + Duration::days(days),
            horizon,
        )
    };
    assert_eq!(plan(0, Horizon::Ahead), Plan::Keep);
    assert_eq!(plan(59, Horizon::Ahead), Plan::Keep);
    assert_eq!(plan(60, Horizon::Ahead), Plan::Renew(Cause::Expiring));
    assert_eq!(plan(89, Horizon::Now), Plan::Keep);
    assert_eq!(plan(90, Horizon::Now), Plan::Renew(Cause::Expiring));
    assert_eq!(plan(-1, Horizon::Now), Plan::Renew(Cause::NotYetValid));
}

#[test]
fn an_authority_is_renewed_two_years_ahead() {
    let authority = authority(now()).unwrap();
    let plan =
        |days, horizon| plan_authority(Some(&authority), now() + Duration::days(days), horizon);
    assert_eq!(plan(2900, Horizon::Ahead), Plan::Keep);
    assert_eq!(plan(2921, Horizon::Ahead), Plan::Renew(Cause::Expiring));
    assert_eq!(plan(2921, Horizon::Now), Plan::Keep);
    assert_eq!(plan(3650, Horizon::Now), Plan::Renew(Cause::Expiring));
}

#[test]
fn what_does_not_serve_is_replaced_whatever_the_time() {
    let ours = authority(now()).unwrap();
    let theirs = authority(now()).unwrap();
    let good = leaf(&ours, &names(), now()).unwrap();
    let plan = |pair: Option<&Pair>| plan_leaf(pair, &ours, &names(), now(), Horizon::Now);
    let foreign = leaf(&theirs, &names(), now()).unwrap();
    let fewer = leaf(&ours, &names()[..1], now()).unwrap();
    let crossed = Pair {
        key: fewer.key.clone(),
        ..good.clone()
    };
    let garbage = Pair {
        certificate: "garbage".into(),
        key: String::new(),
    };
    assert_eq!(plan(Some(&good)), Plan::Keep);
    assert_eq!(plan(None), Plan::Renew(Cause::Missing));
    assert_eq!(plan(Some(&foreign)), Plan::Renew(Cause::WrongAuthority));
    assert_eq!(plan(Some(&fewer)), Plan::Renew(Cause::WrongNames));
    assert_eq!(plan(Some(&crossed)), Plan::Renew(Cause::KeyMismatch));
    assert_eq!(plan(Some(&garbage)), Plan::Renew(Cause::Unreadable));
    let no_authority = plan_authority(Some(&good), now(), Horizon::Now);
    assert_eq!(no_authority, Plan::Renew(Cause::Unreadable));
}

#[test]
fn keys_are_not_shown() {
    let authority = authority(now()).unwrap();
    assert!(!format!("{authority:?}").contains("PRIVATE"));
}

#[tokio::test]
async fn replicas_that_start_together_agree_on_one_set() {
    let client = crate::api_double::client();
    let replica = || {
        let metrics = crate::Metrics::new().unwrap();
        Certificates::new(client.clone(), "signet-system", "signet-injector", metrics)
    };
    let replicas = [replica(), replica(), replica()];
    let trusts = futures::future::join_all(
        replicas
            .iter()
            .map(|replica| async { replica.ensure(Horizon::Now).await.unwrap() }),
    )
    .await;
    assert!(trusts.iter().all(|trust| *trust == trusts[0]));
    assert_eq!(replica().ensure(Horizon::Ahead).await.unwrap(), trusts[0]);
    let now = OffsetDateTime::now_utc();
    let authority = Pair {
        certificate: trusts[0].authority.clone(),
        key: String::new(),
    };
    verified(
        &authority,
        &trusts[0].webhook,
        "signet-operator.signet-system.svc",
        now,
    )
    .unwrap();
}
