//! What the operator asks for becomes true, or is refused with a reason.

use protocol::v1::{
    ApplyRoleRequest, DeleteIdGeneratorRequest, DeleteRoleRequest, DeleteTenantRequest,
    DeletionPolicy, RoleSpec,
};
use tonic::Code;

use crate::support::{
    Central, Database,
    central::{ADMINISTRATOR, BASE_URL, CHECKOUT, OPERATOR},
    on_each_store,
    samples::{
        applied_generator, applied_role, applied_tenant, generator, refused_generator,
        refused_role, refused_tenant, role, tenant,
    },
    with_bearer,
};

on_each_store!(
    a_tenant_is_declared_with_its_first_key,
    the_same_declaration_again_changes_nothing,
    every_wrong_declaration_is_refused_with_its_field,
    what_waits_for_a_tenant_may_heal,
    what_is_deleted_is_gone_and_deleting_again_changes_nothing,
    a_closed_tenant_that_is_declared_again_gets_a_new_key,
    a_released_tenant_goes_on_as_it_is,
);

async fn a_tenant_is_declared_with_its_first_key(database: Database) {
    let central = Central::on(&database).await;
    let mut provision = central.provision().await;

    let answer = provision
        .apply_tenant(with_bearer(OPERATOR, tenant("acme", &["shop"])))
        .await;
    let applied = applied_tenant(answer.unwrap());

    assert!(applied.changed);
    assert_eq!(applied.issuer, format!("{BASE_URL}/t/acme"));
    assert!(applied.active_key.ends_with("-a"), "{}", applied.active_key);
    // Read your writes: the very next read sees it.
    let seen = central.look("/api/v1/tenants/acme").await;
    assert_eq!(seen["active_key"], applied.active_key);
    assert_eq!(seen["position"], applied.position);
    // Declared, added and activated in one append.
    let events = central.look("/api/v1/tenants/acme/events").await;
    let types: Vec<_> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["event_type"])
        .collect();
    assert_eq!(
        types,
        ["TenantDeclared", "TenantKeyAdded", "TenantKeyActivated"]
    );
    assert_eq!(events["events"][0]["metadata"]["actor"], "operator");
}

async fn the_same_declaration_again_changes_nothing(database: Database) {
    let central = Central::on(&database).await;
    central.furnish().await;
    let mut provision = central.provision().await;

    let again = provision
        .apply_tenant(with_bearer(OPERATOR, tenant("acme", &["shop"])))
        .await;
    let again = applied_tenant(again.unwrap());
    assert!(!again.changed);
    assert!(again.position > 0);
    assert!(!again.active_key.is_empty());

    let again = role("acme", "shop", "reader", "checkout");
    let again = applied_role(
        provision
            .apply_role(with_bearer(OPERATOR, again))
            .await
            .unwrap(),
    );
    assert!(!again.changed);

    let again = generator("acme", "shop", "order-id", 1, 9_000_000_000, 1000);
    let again = provision
        .apply_id_generator(with_bearer(OPERATOR, again))
        .await
        .unwrap();
    let again = applied_generator(again);
    assert!(!again.changed);
    assert_eq!((again.next, again.remaining), (1, 9_000_000_000));
}

async fn every_wrong_declaration_is_refused_with_its_field(database: Database) {
    let central = Central::on(&database).await;
    central.furnish().await;
    let mut provision = central.provision().await;

    let mut wrong = tenant("acme", &["shop"]);
    wrong
        .spec
        .as_mut()
        .unwrap()
        .tokens
        .as_mut()
        .unwrap()
        .algorithm = "HS256".into();
    let refusal = refused_tenant(
        provision
            .apply_tenant(with_bearer(OPERATOR, wrong))
            .await
            .unwrap(),
    );
    assert_eq!(refusal.field, "spec.tokens.algorithm");

    let mut wrong = tenant("acme", &["shop"]);
    wrong
        .spec
        .as_mut()
        .unwrap()
        .keys
        .as_mut()
        .unwrap()
        .overlap_seconds = 1;
    let refusal = refused_tenant(
        provision
            .apply_tenant(with_bearer(OPERATOR, wrong))
            .await
            .unwrap(),
    );
    assert_eq!(refusal.field, "spec.keys.overlap");
    assert!(!refusal.may_heal);

    let wrong = tenant("Not A Label", &["shop"]);
    let refusal = refused_tenant(
        provision
            .apply_tenant(with_bearer(OPERATOR, wrong))
            .await
            .unwrap(),
    );
    assert_eq!(refusal.reason, "InvalidName");

    let mut wrong = role("acme", "shop", "broken", "checkout");
    wrong.spec.as_mut().unwrap().rules[0].when = "request.amount <".into();
    let refusal = refused_role(
        provision
            .apply_role(with_bearer(OPERATOR, wrong))
            .await
            .unwrap(),
    );
    assert_eq!(refusal.reason, "InvalidCondition");
    assert_eq!(refusal.field, "spec.rules[0].when");

    let wrong = generator("acme", "shop", "order-id", 1, 5000, 1000);
    let refusal = provision
        .apply_id_generator(with_bearer(OPERATOR, wrong))
        .await
        .unwrap();
    assert_eq!(refused_generator(refusal).reason, "SegmentShrunk");

    // Nothing of it was half done.
    assert_eq!(
        central.look("/api/v1/tenants/acme/roles").await["roles"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let generators = central.look("/api/v1/tenants/acme/generators").await;
    assert_eq!(
        generators["generators"][0]["algorithm"]["segment"]["max"],
        "9000000000"
    );
}

async fn what_waits_for_a_tenant_may_heal(database: Database) {
    let central = Central::on(&database).await;
    let mut provision = central.provision().await;
    let mut apply = async || {
        let request = with_bearer(OPERATOR, role("acme", "shop", "reader", "checkout"));
        provision.apply_role(request).await.unwrap()
    };

    let refusal = refused_role(apply().await);
    assert_eq!(refusal.reason, "TenantNotFound");
    assert!(refusal.may_heal);

    let mut other = central.provision().await;
    applied_tenant(
        other
            .apply_tenant(with_bearer(OPERATOR, tenant("acme", &["other"])))
            .await
            .unwrap(),
    );
    let refusal = refused_role(apply().await);
    assert_eq!(refusal.reason, "NamespaceNotAdmitted");
    assert!(refusal.may_heal);

    applied_tenant(
        other
            .apply_tenant(with_bearer(OPERATOR, tenant("acme", &["shop"])))
            .await
            .unwrap(),
    );
    assert!(applied_role(apply().await).changed);
}

async fn what_is_deleted_is_gone_and_deleting_again_changes_nothing(database: Database) {
    let central = Central::on(&database).await;
    central.furnish().await;
    let mut provision = central.provision().await;
    let name = || ("acme".to_owned(), "shop".to_owned());

    for changed in [true, false] {
        let (tenant, namespace) = name();
        let request = DeleteRoleRequest {
            tenant,
            namespace,
            name: "reader".into(),
        };
        let answer = provision
            .delete_role(with_bearer(OPERATOR, request))
            .await
            .unwrap();
        assert_eq!(answer.into_inner().changed, changed);

        let (tenant, namespace) = name();
        let request = DeleteIdGeneratorRequest {
            tenant,
            namespace,
            name: "order-id".into(),
        };
        let answer = provision
            .delete_id_generator(with_bearer(OPERATOR, request))
            .await
            .unwrap();
        assert_eq!(answer.into_inner().changed, changed);

        let request = DeleteTenantRequest {
            name: "acme".into(),
            deletion_policy: DeletionPolicy::Delete.into(),
        };
        let answer = provision
            .delete_tenant(with_bearer(OPERATOR, request))
            .await
            .unwrap();
        assert_eq!(answer.into_inner().changed, changed);
    }
    assert_eq!(
        central.look("/api/v1/tenants/acme").await["standing"],
        "closed"
    );
    assert_eq!(
        central.look("/api/v1/tenants/acme/roles").await["roles"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    let keys: serde_json::Value = central.public("/t/acme/jwks").await.json().await.unwrap();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 0);
}

async fn a_closed_tenant_that_is_declared_again_gets_a_new_key(database: Database) {
    let central = Central::on(&database).await;
    central.furnish().await;
    let mut provision = central.provision().await;
    let before = central.look("/api/v1/tenants/acme").await["active_key"].clone();
    let request = DeleteTenantRequest {
        name: "acme".into(),
        deletion_policy: DeletionPolicy::Delete.into(),
    };
    provision
        .delete_tenant(with_bearer(OPERATOR, request))
        .await
        .unwrap();

    let answer = provision
        .apply_tenant(with_bearer(OPERATOR, tenant("acme", &["shop"])))
        .await;

    assert_ne!(applied_tenant(answer.unwrap()).active_key, before);
    assert!(central.exchange(CHECKOUT, "acme", "").await.is_ok());
}

async fn a_released_tenant_goes_on_as_it_is(database: Database) {
    let central = Central::on(&database).await;
    central.furnish().await;
    let mut provision = central.provision().await;
    let before = central.look("/api/v1/tenants/acme/keys").await;

    let request = DeleteTenantRequest {
        name: "acme".into(),
        deletion_policy: DeletionPolicy::Retain.into(),
    };
    let answer = provision
        .delete_tenant(with_bearer(OPERATOR, request))
        .await
        .unwrap();

    assert!(answer.into_inner().changed);
    assert_eq!(
        central.look("/api/v1/tenants/acme").await["standing"],
        "released"
    );
    assert_eq!(central.look("/api/v1/tenants/acme/keys").await, before);
    assert!(central.exchange(CHECKOUT, "acme", "").await.is_ok());
    // A deletion has to say what it means.
    let request = DeleteTenantRequest {
        name: "acme".into(),
        deletion_policy: 0,
    };
    let status = provision
        .delete_tenant(with_bearer(OPERATOR, request))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn nobody_but_the_operator_provisions() {
    let central = Central::on(&Database::sqlite()).await;
    let mut provision = central.provision().await;

    for (bearer, code) in [
        (CHECKOUT, Code::PermissionDenied),
        (ADMINISTRATOR, Code::PermissionDenied),
        ("nonsense", Code::Unauthenticated),
    ] {
        let answer = provision
            .apply_tenant(with_bearer(bearer, tenant("evil", &["shop"])))
            .await;
        assert_eq!(answer.unwrap_err().code(), code, "{bearer}");
    }
    let anonymous = provision.apply_tenant(tenant("evil", &["shop"])).await;
    assert_eq!(anonymous.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(
        central.look("/api/v1/tenants").await["tenants"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
}

#[tokio::test]
async fn an_incomplete_call_is_an_error_with_a_code() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;
    let mut provision = central.provision().await;
    let request = ApplyRoleRequest {
        tenant: "acme".into(),
        namespace: "shop".into(),
        name: "a/b".into(),
        spec: Some(RoleSpec::default()),
    };

    let status = provision
        .apply_role(with_bearer(OPERATOR, request))
        .await
        .unwrap_err();

    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(
        status.metadata().get("signet-code").unwrap(),
        "SIGNET-CENTRAL-0006"
    );
    assert!(
        status.message().starts_with("name:"),
        "{}",
        status.message()
    );
}
