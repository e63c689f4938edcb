//! What the programs wrote: one JSON object a line, and nothing secret in it.

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::installation::{SYSTEM_NAMESPACE, component_pods};
use crate::objects::{self, POD, SECRET};

/// Secrets of the release whose every value must not be written, and the key that is looked for.
const SECRETS: &[(&str, &str)] = &[
    ("signet-bootstrap", "token"),
    ("signet-master-key", "master.key"),
    ("signet-database", "url"),
];
const LEVELS: &[&str] = &["ERROR", "WARN", "INFO", "DEBUG", "TRACE"];

/// What must stand in no line, and how to call it when it does.
struct Forbidden(Vec<(String, String)>);

impl Forbidden {
    async fn of(cluster: &Cluster) -> Result<Self> {
        let mut texts = vec![
            // Every JWT begins with the base64url of `{"`.
            ("eyJ".to_owned(), "a bearer token".to_owned()),
            (
                "BEGIN PRIVATE KEY".to_owned(),
                "a certificate's private key".to_owned(),
            ),
        ];
        for (name, key) in SECRETS {
            let secret = cluster.get(SECRET, Some(SYSTEM_NAMESPACE), name).await?;
            let encoded = secret["data"][key]
                .as_str()
                .with_context(|| format!("{name} has no {key}"))?;
            let value = String::from_utf8(STANDARD.decode(encoded)?)
                .with_context(|| format!("{key} of {name} is no text"))?;
            let value = value.trim();
            ensure!(value.len() >= 8, "{key} of {name} is too short to look for");
            texts.push((value.to_owned(), format!("{key} of {name}")));
        }
        Ok(Self(texts))
    }

    /// Looks at everything a container wrote. A last line without an end is still being written.
    /// Gives back how many lines there were.
    fn check(&self, text: &str) -> Result<usize> {
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let mut count = 0;
        for line in whole.lines() {
            count += 1;
            for (secret, what) in &self.0 {
                // The line itself is not shown: this is read by others.
                ensure!(!line.contains(secret), "line {count} shows {what}");
            }
            is_event(line).with_context(|| format!("line {count}: {line}"))?;
        }
        Ok(count)
    }
}

/// One object with the members that all lines have. Libraries say some things for debugging in other
/// members only; all else has a message.
fn is_event(line: &str) -> Result<()> {
    let event: Value = serde_json::from_str(line).context("no JSON")?;
    ensure!(event.is_object(), "no object");
    let has = |member: &str| event[member].as_str().is_some_and(|text| !text.is_empty());
    for member in ["timestamp", "level", "target"] {
        ensure!(has(member), "no {member}");
    }
    let level = event["level"].as_str().unwrap_or_default();
    ensure!(LEVELS.contains(&level), "the level {level}");
    ensure!(
        has("message") || matches!(level, "DEBUG" | "TRACE"),
        "no message"
    );
    Ok(())
}

/// Looks at what the sidecars of a namespace wrote.
///
/// # Errors
/// A line is no event, or shows a secret.
pub async fn sidecars_are_sound(cluster: &Cluster, namespace: &str) -> Result<()> {
    let forbidden = Forbidden::of(cluster).await?;
    for pod in cluster.list(POD, Some(namespace), "").await? {
        let injected = objects::list(&pod, "/spec/initContainers")
            .iter()
            .any(|container| container["name"] == "signet");
        if injected {
            lines_of(cluster, &forbidden, &pod, "signet").await?;
        }
    }
    Ok(())
}

/// Looks at what central and the operator wrote since their pods started.
///
/// # Errors
/// A line is no event, or shows a secret; or none of central's pods, or of the operator's, wrote any.
pub async fn programs_are_sound(cluster: &Cluster) -> Result<()> {
    let forbidden = Forbidden::of(cluster).await?;
    for component in ["central", "operator"] {
        let mut count = 0;
        for pod in component_pods(cluster, component).await? {
            for container in objects::list(&pod, "/spec/containers") {
                let container = objects::text(container, "/name")?;
                count += lines_of(cluster, &forbidden, &pod, container).await?;
            }
        }
        ensure!(count > 0, "{component} wrote nothing");
    }
    Ok(())
}

/// Looks at what a container wrote, also before it was restarted, and counts the lines.
async fn lines_of(
    cluster: &Cluster,
    forbidden: &Forbidden,
    pod: &Value,
    container: &str,
) -> Result<usize> {
    let (namespace, name) = (
        objects::text(pod, "/metadata/namespace")?,
        objects::name(pod)?,
    );
    let api: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
    let mut lines = 0;
    for previous in [false, true] {
        let parameters = LogParams {
            container: Some(container.to_owned()),
            previous,
            ..LogParams::default()
        };
        let text = match api.logs(name, &parameters).await {
            Ok(text) => text,
            // It never ran, or never restarted; or it has just gone.
            Err(kube::Error::Api(status)) if matches!(status.code, 400 | 404) => continue,
            Err(error) => bail!("the log of {container} of {namespace}/{name}: {error}"),
        };
        lines += forbidden
            .check(&text)
            .with_context(|| format!("the log of {container} of {namespace}/{name}"))?;
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::Forbidden;

    const GOOD: &str =
        r#"{"timestamp":"2026-01-01T00:00:00Z","level":"INFO","message":"ready","target":"a"}"#;

    fn check(text: &str) -> Result<usize, String> {
        let forbidden = Forbidden(vec![("eyJ".to_owned(), "a bearer token".to_owned())]);
        forbidden.check(text).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn events_are_counted_and_an_unfinished_one_is_not() {
        assert_eq!(check(""), Ok(0));
        assert_eq!(check(&format!("{GOOD}\n{GOOD}\n")), Ok(2));
        let bare = GOOD.replace("ready", "").replace("INFO", "DEBUG");
        assert_eq!(check(&format!("{bare}\n")), Ok(1));
        assert_eq!(check(&format!("{GOOD}\n{{\"timest")), Ok(1));
    }

    #[test]
    fn what_is_no_event_is_told() {
        for (line, why) in [
            ("thread 'main' panicked", "no JSON"),
            ("[]", "no object"),
            (&GOOD.replace("message", "fields"), "no message"),
            (&GOOD.replace("ready", ""), "no message"),
            (&GOOD.replace("INFO", "LOUD"), "the level LOUD"),
        ] {
            let told = check(&format!("{GOOD}\n{line}\n")).unwrap_err();
            assert!(told.starts_with("line 2") && told.contains(why), "{told}");
        }
    }

    #[test]
    fn a_secret_is_told_and_not_shown() {
        let told = check(&format!("{}\n", GOOD.replace("ready", "eyJhbGciOi"))).unwrap_err();
        assert_eq!(told, "line 1 shows a bearer token");
    }
}
