//! Tells the API server whom to trust when it calls the webhook.

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use super::CertificateError;

/// Owns `clientConfig.caBundle` of the webhooks and nothing else.
const FIELD_MANAGER: &str = "signet-operator-certificates";

/// Sets the CA bundle of every webhook in the configuration `name`. Returns whether there is such a
/// configuration; the chart may make it after the operator has started.
pub(super) async fn ensure(
    client: &Client,
    name: &str,
    authority: &str,
) -> Result<bool, CertificateError> {
    let failed = |what: &str| {
        let what = format!("{what} the MutatingWebhookConfiguration {name}");
        move |source| CertificateError::Kubernetes { what, source }
    };
    let api: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let Some(configuration) = api.get_opt(name).await.map_err(failed("reading"))? else {
        return Ok(false);
    };
    if let Some(patch) = patch(name, &configuration, authority) {
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let patched = api.patch(name, &parameters, &Patch::Apply(&patch)).await;
        patched.map_err(failed("writing"))?;
        tracing::info!(configuration = name, "the webhook's CA bundle is set");
    }
    Ok(true)
}

/// What is to be applied, unless it is so already.
fn patch(
    name: &str,
    configuration: &MutatingWebhookConfiguration,
    authority: &str,
) -> Option<Value> {
    let bundle = ByteString(authority.as_bytes().to_vec());
    let webhooks = configuration.webhooks.as_deref().unwrap_or_default();
    let set = |webhook: &&_| {
        let webhook: &k8s_openapi::api::admissionregistration::v1::MutatingWebhook = webhook;
        webhook.client_config.ca_bundle.as_ref() == Some(&bundle)
    };
    if webhooks.iter().all(|webhook| set(&webhook)) {
        return None;
    }
    let webhooks: Vec<Value> = webhooks
        .iter()
        .map(|webhook| json!({ "name": webhook.name, "clientConfig": { "caBundle": &bundle } }))
        .collect();
    Some(json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": { "name": name },
        "webhooks": webhooks,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(bundles: [Option<&str>; 2]) -> MutatingWebhookConfiguration {
        let webhooks: Vec<Value> = bundles
            .iter()
            .enumerate()
            .map(|(index, bundle)| {
                let bundle = bundle.map(|bundle| ByteString(bundle.as_bytes().to_vec()));
                json!({
                    "name": format!("{index}.signet.dev"),
                    "clientConfig": {
                        "service": {"name": "signet-operator", "namespace": "signet-system"},
                        "caBundle": bundle,
                    },
                    "sideEffects": "None", "admissionReviewVersions": ["v1"],
                })
            })
            .collect();
        serde_json::from_value(json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "signet-injector"}, "webhooks": webhooks,
        }))
        .unwrap()
    }

    #[test]
    fn nothing_but_the_bundles_is_applied_and_only_when_one_differs() {
        let current = configuration([Some("now"), Some("now")]);
        assert_eq!(patch("signet-injector", &current, "now"), None);
        for other in [[Some("now"), None], [Some("old"), Some("now")]] {
            let patch = patch("signet-injector", &configuration(other), "now").unwrap();
            assert_eq!(
                patch["webhooks"],
                json!([
                    {"name": "0.signet.dev", "clientConfig": {"caBundle": "bm93"}},
                    {"name": "1.signet.dev", "clientConfig": {"caBundle": "bm93"}},
                ])
            );
        }
    }
}
