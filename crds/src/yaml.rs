//! The YAML of the resource definitions.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::{IdGenerator, Role, Tenant};

const HEADER: &str =
    "# Made from the Rust types in crds/src by `cargo xtask generate`. Change them, not this.\n";

/// One generated file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The name of the file, such as `tenant.yaml`.
    pub file: &'static str,
    /// Its whole text.
    pub text: String,
}

/// Why the definitions could not be written as YAML: a defect of this program.
#[derive(Debug, thiserror::Error)]
#[error("SIGNET-CRD-0002: the definition for {file} cannot be written as YAML: {source}")]
pub struct RenderError {
    file: &'static str,
    #[source]
    source: serde_saphyr::ser::Error,
}

impl RenderError {
    /// The stable code of the error.
    pub fn code(&self) -> &'static str {
        "SIGNET-CRD-0002"
    }
}

/// The CustomResourceDefinitions of all kinds, one file each.
///
/// # Errors
/// When a definition cannot be serialized, which a test rules out.
pub fn render() -> Result<Vec<Manifest>, RenderError> {
    [
        ("tenant.yaml", Tenant::crd()),
        ("role.yaml", Role::crd()),
        ("idgenerator.yaml", IdGenerator::crd()),
    ]
    .into_iter()
    .map(|(file, definition)| document(file, &definition))
    .collect()
}

fn document(
    file: &'static str,
    definition: &CustomResourceDefinition,
) -> Result<Manifest, RenderError> {
    let yaml =
        serde_saphyr::to_string(definition).map_err(|source| RenderError { file, source })?;
    Ok(Manifest {
        file,
        text: format!("{HEADER}{}\n", yaml.trim_end()),
    })
}
