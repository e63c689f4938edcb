//! What a run is told, by environment variables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// What to say when there is no cluster to test on.
pub const HOW_TO_RUN: &str = "\
e2e: SIGNET_E2E_KUBECONFIG is not set, so nothing runs here. `cargo xtask test e2e` starts a cluster, packs the
images and runs these tests; `cargo xtask test e2e --kubeconfig FILE` runs them on a cluster of yours.";

/// An image that the cluster's nodes hold already.
#[derive(Debug, Clone, Deserialize)]
pub struct Image {
    /// Its reference, such as `e2e.local/signet-central:1`.
    pub image: String,
}

/// What a run is told.
#[derive(Debug, Clone)]
pub struct Environment {
    /// `SIGNET_E2E_KUBECONFIG`: the cluster, with an administrator's rights.
    pub kubeconfig: PathBuf,
    /// `SIGNET_E2E_IMAGES`: a JSON file, `{"signet-central": {"image": "…"}, …}`.
    images: BTreeMap<String, Image>,
    /// `SIGNET_E2E_DATABASE_URL`: an empty PostgreSQL database, as pods reach it.
    pub database_url: String,
    /// `SIGNET_E2E_HELM`: the program, `helm` by default.
    pub helm: PathBuf,
    /// `SIGNET_E2E_CHART`: the chart's folder, the checkout's by default.
    pub chart: PathBuf,
    /// `SIGNET_E2E_LOGS`: where failures are described, `target/e2e-logs` by default.
    pub logs: PathBuf,
    /// The samples that users are given.
    pub samples: PathBuf,
}

impl Environment {
    /// Reads the variables; `None` without `SIGNET_E2E_KUBECONFIG`.
    ///
    /// # Errors
    /// A variable is missing, or the image list cannot be read.
    pub fn from_variables() -> Result<Option<Self>> {
        let Some(kubeconfig) = variable("SIGNET_E2E_KUBECONFIG") else {
            return Ok(None);
        };
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let list = variable("SIGNET_E2E_IMAGES")
            .context("SIGNET_E2E_IMAGES must name the JSON file with the images' names")?;
        let text = std::fs::read_to_string(&list).with_context(|| format!("reading {list}"))?;
        let images = serde_json::from_str(&text).with_context(|| format!("parsing {list}"))?;
        let or = |name: &str, default: PathBuf| variable(name).map_or(default, PathBuf::from);
        Ok(Some(Self {
            kubeconfig: kubeconfig.into(),
            images,
            database_url: variable("SIGNET_E2E_DATABASE_URL").context(
                "SIGNET_E2E_DATABASE_URL must be a PostgreSQL address that pods can reach",
            )?,
            helm: or("SIGNET_E2E_HELM", "helm".into()),
            chart: or("SIGNET_E2E_CHART", checkout.join("charts/signet")),
            logs: or("SIGNET_E2E_LOGS", checkout.join("target/e2e-logs")),
            samples: checkout.join("config/samples"),
        }))
    }

    /// The reference of an image, such as that of `signet-central`.
    ///
    /// # Errors
    /// The image list does not have it.
    pub fn image(&self, name: &str) -> Result<&str> {
        match self.images.get(name) {
            Some(image) => Ok(&image.image),
            None => bail!("SIGNET_E2E_IMAGES does not name {name}"),
        }
    }
}

/// Whether `SIGNET_TEST_REQUIRE` says that a cluster must be there.
#[must_use]
pub fn cluster_is_required() -> bool {
    variable("SIGNET_TEST_REQUIRE")
        .is_some_and(|parts| parts.split([',', ' ']).any(|part| part == "cluster"))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
