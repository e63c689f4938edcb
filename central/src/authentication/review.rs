//! What a projected ServiceAccount token must show, as pure functions over what the API server says.
//!
//! A token counts only while its pod lives: the TokenReview alone can stay good about ten seconds
//! after a pod's deletion, so the pod is looked up and its UID compared as well.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use k8s_openapi::api::{authentication::v1::TokenReviewStatus, core::v1::Pod};
use serde::Deserialize;

use crate::config::ServiceAccount;

const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// A ServiceAccount as a token shows it, with the pod the token is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BoundAccount {
    pub(super) account: ServiceAccount,
    pub(super) pod: String,
    pub(super) pod_uid: String,
}

#[derive(Deserialize)]
struct UnverifiedClaims {
    #[serde(default)]
    aud: Audiences,
    exp: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(untagged)]
enum Audiences {
    #[default]
    None,
    One(String),
    Many(Vec<String>),
}

/// Sorts out what cannot be good before the API server is asked, so that nobody can load it with
/// garbage. Gives how long the token says it still lives. Proves nothing.
pub(super) fn plausible(token: &str, audience: &str, now_unix: i64) -> Result<Duration, String> {
    const MALFORMED: &str = "the token is not a JSON Web Token";
    let mut parts = token.split('.');
    let (Some(_), Some(payload), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(MALFORMED.into());
    };
    let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| MALFORMED)?;
    let claims: UnverifiedClaims = serde_json::from_slice(&payload).map_err(|_| MALFORMED)?;
    let meant_for_us = match &claims.aud {
        Audiences::None => false,
        Audiences::One(one) => one == audience,
        Audiences::Many(many) => many.iter().any(|one| one == audience),
    };
    if !meant_for_us {
        return Err(format!("the token is not meant for audience {audience}"));
    }
    let left = claims
        .exp
        .ok_or("the token has no exp")?
        .saturating_sub(now_unix);
    match u64::try_from(left) {
        Ok(left) if left > 0 => Ok(Duration::from_secs(left)),
        _ => Err("the token has expired".into()),
    }
}

/// Reads the API server's verdict.
pub(super) fn reviewed(status: &TokenReviewStatus, audience: &str) -> Result<BoundAccount, String> {
    if status.authenticated != Some(true) {
        return Err("the Kubernetes API server does not accept the token".into());
    }
    let audiences = status.audiences.as_deref().unwrap_or_default();
    if !audiences.iter().any(|one| one == audience) {
        return Err(format!("the token is not meant for audience {audience}"));
    }
    let user = status.user.as_ref().ok_or("the token names no user")?;
    let account = user
        .username
        .as_deref()
        .and_then(ServiceAccount::from_username)
        .ok_or("the token is not a ServiceAccount's")?;
    let extra = |key: &str| match user.extra.as_ref().and_then(|extra| extra.get(key)) {
        Some(values) if values.len() == 1 && !values[0].is_empty() => Some(values[0].clone()),
        _ => None,
    };
    match (extra(POD_NAME), extra(POD_UID)) {
        (Some(pod), Some(pod_uid)) => Ok(BoundAccount {
            account,
            pod,
            pod_uid,
        }),
        _ => Err(
            "the token is not bound to a pod; project it into the pod with \
                  serviceAccountToken"
                .into(),
        ),
    }
}

/// Compares the pod that lives now with the one the token is bound to.
///
/// A pod that is being deleted still counts: it may need tokens while it drains.
pub(super) fn lives(bound: &BoundAccount, pod: Option<&Pod>) -> Result<(), String> {
    let gone = || {
        format!(
            "pod {}/{} of the token is gone",
            bound.account.namespace, bound.pod
        )
    };
    let pod = pod.ok_or_else(gone)?;
    if pod.metadata.uid.as_deref() != Some(bound.pod_uid.as_str()) {
        return Err(gone());
    }
    let spec = pod.spec.as_ref();
    let account = spec
        .and_then(|spec| spec.service_account_name.as_deref())
        .unwrap_or("default");
    if account != bound.account.name {
        return Err(format!(
            "pod {}/{} does not run as the ServiceAccount of the token",
            bound.account.namespace, bound.pod
        ));
    }
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return Err(format!(
            "pod {}/{} has ended",
            bound.account.namespace, bound.pod
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use k8s_openapi::api::{authentication::v1::TokenReviewStatus, core::v1::Pod};
    use proptest::prelude::{any, proptest};
    use serde_json::{Value, json};

    use super::{lives, plausible, reviewed};

    const NOW: i64 = 1_800_000_000;

    fn token(payload: &Value) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload.to_string()))
    }

    fn status(change: impl FnOnce(&mut Value)) -> TokenReviewStatus {
        let mut status = json!({
            "authenticated": true,
            "audiences": ["signet-central"],
            "user": {
                "username": "system:serviceaccount:shop:checkout",
                "extra": {
                    "authentication.kubernetes.io/pod-name": ["checkout-1"],
                    "authentication.kubernetes.io/pod-uid": ["u-1"],
                },
            },
        });
        change(&mut status);
        serde_json::from_value(status).unwrap()
    }

    fn pod(change: impl FnOnce(&mut Value)) -> Pod {
        let mut pod = json!({
            "metadata": { "name": "checkout-1", "namespace": "shop", "uid": "u-1" },
            "spec": { "containers": [], "serviceAccountName": "checkout" },
            "status": { "phase": "Running" },
        });
        change(&mut pod);
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn a_token_for_us_with_time_left_is_plausible() {
        for audience in [json!("signet-central"), json!(["other", "signet-central"])] {
            let left = plausible(
                &token(&json!({ "aud": audience, "exp": NOW + 60 })),
                "signet-central",
                NOW,
            );
            assert_eq!(left.unwrap().as_secs(), 60);
        }
    }

    #[test]
    fn what_cannot_be_good_is_sorted_out() {
        for (token, reason) in [
            ("x".to_owned(), "not a JSON Web Token"),
            ("a.b".to_owned(), "not a JSON Web Token"),
            ("a.!.c".to_owned(), "not a JSON Web Token"),
            (token(&json!({ "exp": NOW + 60 })), "audience"),
            (
                token(&json!({ "aud": "https://kubernetes", "exp": NOW + 60 })),
                "audience",
            ),
            (token(&json!({ "aud": "signet-central" })), "no exp"),
            (
                token(&json!({ "aud": "signet-central", "exp": NOW })),
                "expired",
            ),
        ] {
            let refused = plausible(&token, "signet-central", NOW).unwrap_err();
            assert!(
                refused.contains(reason),
                "{refused} should contain {reason}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_judged_without_a_panic(text in any::<String>()) {
            assert!(plausible(&text, "signet-central", NOW).is_err());
        }
    }

    #[test]
    fn a_bound_token_of_a_living_pod_holds() {
        let bound = reviewed(&status(|_| ()), "signet-central").unwrap();

        assert_eq!(bound.account.to_string(), "shop/checkout");
        assert_eq!(lives(&bound, Some(&pod(|_| ()))), Ok(()));
    }

    #[test]
    fn a_review_that_proves_too_little_is_refused() {
        for (change, reason) in [
            ("/authenticated", "does not accept"),
            ("/audiences", "audience"),
            ("/user", "names no user"),
            ("/user/username", "not a ServiceAccount"),
            ("/user/extra", "not bound to a pod"),
        ] {
            let status = status(|status| *status.pointer_mut(change).unwrap() = Value::Null);
            let refused = reviewed(&status, "signet-central").unwrap_err();
            assert!(
                refused.contains(reason),
                "{refused} should contain {reason}"
            );
        }
    }

    #[test]
    fn a_server_that_ignores_audiences_is_not_trusted() {
        let status = status(|status| status["audiences"] = json!(["https://kubernetes"]));

        assert!(
            reviewed(&status, "signet-central")
                .unwrap_err()
                .contains("audience")
        );
    }

    #[test]
    fn a_pod_that_is_not_the_token_s_is_refused() {
        let bound = reviewed(&status(|_| ()), "signet-central").unwrap();

        assert!(lives(&bound, None).unwrap_err().contains("gone"));
        for (pointer, value, reason) in [
            ("/metadata/uid", "u-2", "gone"),
            ("/spec/serviceAccountName", "admin", "does not run as"),
            ("/status/phase", "Succeeded", "has ended"),
        ] {
            let pod = pod(|pod| *pod.pointer_mut(pointer).unwrap() = json!(value));
            let refused = lives(&bound, Some(&pod)).unwrap_err();
            assert!(
                refused.contains(reason),
                "{refused} should contain {reason}"
            );
        }
    }

    #[test]
    fn a_pod_that_drains_still_counts() {
        let bound = reviewed(&status(|_| ()), "signet-central").unwrap();
        let pod = pod(|pod| {
            pod["metadata"]["deletionTimestamp"] = json!("2026-11-21T00:00:00Z");
        });

        assert_eq!(lives(&bound, Some(&pod)), Ok(()));
    }
}
