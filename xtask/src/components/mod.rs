//! The programs a cluster is made of, built once through the Go module proxy from the small
//! modules in `xtask/components` and kept under the hash of everything that made them.

mod build;

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::progress::Steps;

/// The version of Kubernetes; that of its library modules is `v0.36.3`.
pub(crate) const KUBERNETES: &str = "v1.36.3";

/// One of the modules in `xtask/components`.
pub(crate) struct Component {
    /// Folder of the module and name of the program.
    pub(crate) name: &'static str,
    /// The Go package to build.
    package: &'static str,
    /// Variables set at link time: what the upstream makefiles set for a release.
    stamps: &'static [(&'static str, &'static str)],
    /// Other names the program is called by.
    aliases: &'static [&'static str],
    /// Repository and tag of the image it is packed into.
    image: Option<(&'static str, &'static str)>,
}

const KUBERNETES_STAMPS: &[(&str, &str)] = &[
    ("k8s.io/component-base/version.gitVersion", KUBERNETES),
    ("k8s.io/component-base/version.gitMajor", "1"),
    ("k8s.io/component-base/version.gitMinor", "36"),
];

pub(crate) const NODE: Component = Component {
    name: "node",
    package: ".",
    stamps: KUBERNETES_STAMPS,
    aliases: &[
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kube-proxy",
        "kubelet",
    ],
    image: None,
};

pub(crate) const ETCD: Component = Component {
    name: "etcd",
    package: ".",
    stamps: &[],
    aliases: &[],
    image: None,
};

pub(crate) const COREDNS: Component = Component {
    name: "coredns",
    package: ".",
    stamps: &[],
    aliases: &[],
    image: Some(("e2e.local/coredns", "1.15.0")),
};

pub(crate) const KUBECTL: Component = Component {
    name: "kubectl",
    package: ".",
    stamps: KUBERNETES_STAMPS,
    aliases: &[],
    image: None,
};

pub(crate) const HELM: Component = Component {
    name: "helm",
    package: "helm.sh/helm/v3/cmd/helm",
    stamps: &[
        ("helm.sh/helm/v3/internal/version.version", "v3.22.0"),
        ("helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor", "1"),
        ("helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor", "36"),
        ("helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor", "1"),
        ("helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor", "36"),
    ],
    aliases: &[],
    image: None,
};

pub(crate) const PAUSE: Component = Component {
    name: "pause",
    package: ".",
    stamps: &[],
    aliases: &[],
    image: Some(("e2e.local/pause", "1")),
};

const ALL: [&Component; 6] = [&NODE, &ETCD, &COREDNS, &KUBECTL, &HELM, &PAUSE];

impl Component {
    /// The name of the image this component is packed into.
    pub(crate) fn image_name(&self) -> Option<String> {
        self.image
            .map(|(repository, tag)| format!("{repository}:{tag}"))
    }
}

/// A component that was built.
pub(crate) struct Built {
    /// The folder that holds the program, under each of its names.
    pub(crate) folder: PathBuf,
    name: &'static str,
}

impl Built {
    /// The program itself.
    pub(crate) fn program(&self) -> PathBuf {
        self.folder.join(self.name)
    }

    /// The program under one of its other names.
    pub(crate) fn alias(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The docker-archive, for a component that has one.
    pub(crate) fn archive(&self) -> PathBuf {
        self.folder.join("image.tar")
    }
}

/// `component`, built when the cache does not hold it.
///
/// # Errors
/// When Go is missing or the build fails.
pub(crate) fn get(component: &Component, steps: &Steps) -> Result<Built> {
    let folder = build::get(component, steps)?;
    Ok(Built {
        folder,
        name: component.name,
    })
}

/// `component` as the cache holds it; none when it is still to be built.
pub(crate) fn cached(component: &Component) -> Option<Built> {
    let folder = build::place(component).ok()?;
    folder.is_dir().then_some(Built {
        folder,
        name: component.name,
    })
}

/// Builds whatever the cache does not hold.
///
/// # Errors
/// As [`get`].
pub(crate) fn build_all(steps: &Steps) -> Result<()> {
    ALL.into_iter()
        .try_for_each(|component| get(component, steps).map(drop))
}

/// Where the built components lie.
///
/// # Errors
/// See [`crate::paths::cache`].
pub(crate) fn shelf() -> Result<PathBuf> {
    Ok(crate::paths::cache()?.join("components"))
}

/// The folder of the module.
fn source(component: &Component) -> PathBuf {
    Path::new(&crate::paths::checkout())
        .join("xtask/components")
        .join(component.name)
}
