//! The images of our programs: static binaries, packed without docker. The Dockerfile builds the
//! same layout for the world; a test compares the two.

mod build;
#[cfg(test)]
mod dockerfile;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

pub(crate) use build::build;

/// Where images are named when no registry serves them.
const REGISTRY: &str = "e2e.local";

/// What an image is made of.
pub(crate) struct Image {
    /// Name below the registry, and key in the listing.
    pub(crate) name: &'static str,
    /// Stage of the Dockerfile; none for what is not shipped.
    #[cfg_attr(not(test), allow(dead_code))]
    stage: Option<&'static str>,
    /// Absolute path in the image, and the program of this workspace that lies there.
    files: &'static [(&'static str, &'static str)],
    user: &'static str,
    entrypoint: &'static [&'static str],
}

/// The numbers every program runs under: not root, and checkable by the kubelet.
const USER: &str = "65532:65532";

pub(crate) const IMAGES: [Image; 5] = [
    Image {
        name: "signet-operator",
        stage: Some("operator"),
        files: &[("/signet-operator", "signet-operator")],
        user: USER,
        entrypoint: &["/signet-operator"],
    },
    Image {
        name: "signet-central",
        stage: Some("central"),
        files: &[("/signet-central", "signet-central")],
        user: USER,
        entrypoint: &["/signet-central"],
    },
    Image {
        name: "signet-sidecar",
        stage: Some("sidecar"),
        files: &[("/signet-sidecar", "signet-sidecar")],
        user: USER,
        entrypoint: &["/signet-sidecar"],
    },
    Image {
        name: "signet-cli",
        stage: Some("cli"),
        files: &[("/signet", "signet")],
        user: USER,
        entrypoint: &["/signet"],
    },
    Image {
        name: "signet-e2e-app",
        stage: None,
        files: &[("/e2e-app", "e2e-app")],
        user: USER,
        entrypoint: &["/e2e-app"],
    },
];

/// One image in the listing.
#[derive(Serialize, Deserialize)]
pub(crate) struct Packed {
    /// The full name, `repository:tag`. The tag follows the content.
    pub(crate) image: String,
    pub(crate) repository: String,
    pub(crate) tag: String,
    /// The docker-archive.
    pub(crate) archive: PathBuf,
}

/// What was packed, by the images' names.
pub(crate) struct Listing {
    /// The JSON file that says the same.
    pub(crate) file: PathBuf,
    pub(crate) images: BTreeMap<String, Packed>,
}

impl Listing {
    /// The full name of an image.
    ///
    /// # Errors
    /// When no such image was packed.
    pub(crate) fn image(&self, name: &str) -> Result<&str> {
        Ok(&self
            .images
            .get(name)
            .with_context(|| format!("no image {name} was packed"))?
            .image)
    }

    /// The archives of all.
    pub(crate) fn archives(&self) -> Vec<PathBuf> {
        self.images
            .values()
            .map(|packed| packed.archive.clone())
            .collect()
    }
}
