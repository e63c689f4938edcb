//! What a pod's annotations say about its sidecar.

use std::collections::BTreeMap;

use crds::names;

use super::container::{API_PORT, HEALTH_PORT};
use super::denial::Denial;
use super::quantity::{Quantity, Resources};

/// The annotations of a pod that concern the sidecar, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Overrides {
    /// `signet.dev/tenant`.
    pub tenant: Option<String>,
    /// `signet.dev/generators`, in the order written, each once.
    pub generators: Vec<String>,
    /// `signet.dev/image`.
    pub image: Option<String>,
    /// `signet.dev/port`, or 7740.
    pub port: u16,
    /// The defaults with `signet.dev/{cpu,memory}-{request,limit}` laid over them.
    pub resources: Resources,
}

const MAX_GENERATORS: usize = 64;

impl Overrides {
    /// Reads the annotations of a pod.
    ///
    /// # Errors
    /// Names the first annotation that is wrong.
    pub fn read(
        annotations: &BTreeMap<String, String>,
        defaults: &Resources,
    ) -> Result<Self, Denial> {
        for key in [names::PROXY_PORT, names::UPSTREAM_PORT] {
            if annotations.contains_key(key) {
                return Err(Denial::NotServed {
                    key,
                    what: "the reverse-proxy mode",
                });
            }
        }
        Ok(Self {
            tenant: tenant(annotations)?,
            generators: generators(annotations)?,
            image: image(annotations)?,
            port: port(annotations)?,
            resources: resources(annotations, defaults)?,
        })
    }
}

fn invalid(key: &'static str, value: &str, expected: impl Into<String>) -> Denial {
    Denial::InvalidAnnotation {
        key,
        value: value.chars().take(64).collect(),
        expected: expected.into(),
    }
}

fn tenant(annotations: &BTreeMap<String, String>) -> Result<Option<String>, Denial> {
    let Some(value) = annotations.get(names::TENANT) else {
        return Ok(None);
    };
    if value.len() > 63 || value.contains('.') || !is_name(value) {
        return Err(invalid(names::TENANT, value, "is no name of a Tenant"));
    }
    Ok(Some(value.clone()))
}

fn generators(annotations: &BTreeMap<String, String>) -> Result<Vec<String>, Denial> {
    let Some(value) = annotations.get(names::GENERATORS) else {
        return Ok(Vec::new());
    };
    let mut generators: Vec<String> = Vec::new();
    for name in value
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        if !is_name(name) {
            return Err(invalid(
                names::GENERATORS,
                value,
                format!("must be a comma list of IdGenerator names; `{name}` is none"),
            ));
        }
        if !generators.iter().any(|known| known == name) {
            generators.push(name.into());
        }
    }
    if generators.len() > MAX_GENERATORS {
        return Err(invalid(
            names::GENERATORS,
            value,
            format!("names more than {MAX_GENERATORS} generators"),
        ));
    }
    Ok(generators)
}

fn image(annotations: &BTreeMap<String, String>) -> Result<Option<String>, Denial> {
    let Some(value) = annotations.get(names::IMAGE) else {
        return Ok(None);
    };
    if value.is_empty() || value.len() > 512 || value.contains(char::is_whitespace) {
        return Err(invalid(
            names::IMAGE,
            value,
            "is no image reference, such as registry.example/signet/sidecar:1.0",
        ));
    }
    Ok(Some(value.clone()))
}

fn port(annotations: &BTreeMap<String, String>) -> Result<u16, Denial> {
    let Some(value) = annotations.get(names::PORT) else {
        return Ok(API_PORT);
    };
    match value.parse::<u16>() {
        Ok(HEALTH_PORT) => Err(invalid(
            names::PORT,
            value,
            "is the sidecar's port for health; choose another",
        )),
        Ok(port) if port >= 1024 => Ok(port),
        _ => Err(invalid(
            names::PORT,
            value,
            "must be a port from 1024 to 65535",
        )),
    }
}

fn resources(
    annotations: &BTreeMap<String, String>,
    defaults: &Resources,
) -> Result<Resources, Denial> {
    let given = |key: &'static str| -> Result<Option<Quantity>, Denial> {
        let parsed = annotations.get(key).map(|value| {
            value.parse().map_err(|_| {
                let expected = "is no quantity: write a number with a unit, such as 10m or 64Mi";
                invalid(key, value, expected)
            })
        });
        parsed.transpose()
    };
    let mut resources = defaults.clone();
    for (request_key, limit_key, request, limit) in [
        (
            names::CPU_REQUEST,
            names::CPU_LIMIT,
            &mut resources.cpu_request,
            &mut resources.cpu_limit,
        ),
        (
            names::MEMORY_REQUEST,
            names::MEMORY_LIMIT,
            &mut resources.memory_request,
            &mut resources.memory_limit,
        ),
    ] {
        let given_request = given(request_key)?;
        let given_limit = given(limit_key)?;
        // One of the two given alone draws the default of the other along, so that asking for more
        // (or allowing less) is one annotation.
        let both = match (given_request, given_limit) {
            (Some(request), Some(limit)) => Some((request, limit)),
            (Some(request), None) if request.exceeds(limit) => Some((request.clone(), request)),
            (Some(request), None) => Some((request, limit.clone())),
            (None, Some(limit)) if request.exceeds(&limit) => Some((limit.clone(), limit)),
            (None, Some(limit)) => Some((request.clone(), limit)),
            (None, None) => None,
        };
        if let Some((new_request, new_limit)) = both {
            if new_request.exceeds(&new_limit) {
                return Err(invalid(
                    request_key,
                    new_request.as_str(),
                    format!("is greater than {limit_key} `{new_limit}`"),
                ));
            }
            (*request, *limit) = (new_request, new_limit);
        }
    }
    Ok(resources)
}

/// A DNS subdomain, as Kubernetes names objects (RFC 1123).
fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        let inside = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(inside)
    };
    text.len() <= 253 && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> Resources {
        Resources {
            cpu_request: "10m".parse().unwrap(),
            cpu_limit: "1".parse().unwrap(),
            memory_request: "32Mi".parse().unwrap(),
            memory_limit: "128Mi".parse().unwrap(),
        }
    }

    fn read(annotations: &[(&str, &str)]) -> Result<Overrides, Denial> {
        let annotations = annotations
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        Overrides::read(&annotations, &defaults())
    }

    #[test]
    fn nothing_said_means_the_defaults() {
        let overrides = read(&[("unrelated", "x")]).unwrap();
        assert_eq!((overrides.port, overrides.resources), (7740, defaults()));
        assert!(overrides.generators.is_empty());
    }

    #[test]
    fn everything_said_is_taken() {
        let overrides = read(&[
            ("signet.dev/tenant", "acme"),
            ("signet.dev/generators", "order-id, invoice.id,order-id,"),
            ("signet.dev/image", "e2e.local/signet-sidecar:1"),
            ("signet.dev/port", "8740"),
            ("signet.dev/cpu-request", "50m"),
            ("signet.dev/memory-limit", "256Mi"),
        ])
        .unwrap();
        assert_eq!(overrides.tenant.as_deref(), Some("acme"));
        assert_eq!(overrides.generators, ["order-id", "invoice.id"]);
        assert_eq!(
            overrides.image.as_deref(),
            Some("e2e.local/signet-sidecar:1")
        );
        assert_eq!(overrides.port, 8740);
        assert_eq!(overrides.resources.cpu_request.as_str(), "50m");
        assert_eq!(overrides.resources.memory_limit.as_str(), "256Mi");
    }

    #[test]
    fn a_request_above_the_default_limit_raises_it_and_a_limit_below_the_default_request_lowers_it()
    {
        let raised = read(&[("signet.dev/memory-request", "512Mi")]).unwrap();
        assert_eq!(raised.resources.memory_limit.as_str(), "512Mi");
        let lowered = read(&[("signet.dev/memory-limit", "16Mi")]).unwrap();
        assert_eq!(lowered.resources.memory_request.as_str(), "16Mi");
    }

    #[test]
    fn a_wrong_annotation_is_named() {
        for (key, value) in [
            ("signet.dev/tenant", "Acme"),
            ("signet.dev/tenant", "a.b"),
            ("signet.dev/generators", "order id"),
            ("signet.dev/generators", "-x"),
            ("signet.dev/image", ""),
            ("signet.dev/image", "a b"),
            ("signet.dev/port", "7743"),
            ("signet.dev/port", "80"),
            ("signet.dev/port", "http"),
            ("signet.dev/cpu-request", "lots"),
            ("signet.dev/cpu-limit", ""),
            ("signet.dev/memory-request", "12MB"),
            ("signet.dev/memory-limit", "-1"),
            ("signet.dev/proxy-port", "8080"),
            ("signet.dev/upstream-port", "8081"),
        ] {
            let denial = read(&[(key, value)]).unwrap_err();
            assert!(denial.to_string().contains(key), "{key}={value}: {denial}");
        }
        let both = [
            ("signet.dev/cpu-request", "2"),
            ("signet.dev/cpu-limit", "1"),
        ];
        let denial = read(&both).unwrap_err().to_string();
        assert!(denial.contains("signet.dev/cpu-request"), "{denial}");
    }
}
