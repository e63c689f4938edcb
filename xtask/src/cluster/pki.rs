//! Keys and certificates of the cluster (P-256), and the kubeconfigs made of them.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use serde_json::json;

use super::layout::{API_SERVICE, CONTEXT, Layout, NODE, NODE_ADDRESS};

type Authority = CertifiedIssuer<'static, KeyPair>;

struct Issued {
    certificate: String,
    key: String,
}

/// Those who call the API server with a kubeconfig: user, organization, common name.
fn users() -> [(&'static str, Option<&'static str>, String); 5] {
    [
        ("admin", Some("system:masters"), "admin".to_owned()),
        (
            "kube-controller-manager",
            None,
            "system:kube-controller-manager".to_owned(),
        ),
        ("kube-scheduler", None, "system:kube-scheduler".to_owned()),
        ("kube-proxy", None, "system:kube-proxy".to_owned()),
        (
            "kubelet",
            Some("system:nodes"),
            format!("system:node:{NODE}"),
        ),
    ]
}

/// Makes everything anew.
pub(super) fn make(layout: &Layout) -> Result<()> {
    let cluster = authority("signet-cluster-ca")?;
    let proxy = authority("signet-cluster-front-proxy-ca")?;
    write(layout, "ca.crt", &cluster.pem())?;
    write(layout, "ca.key", &cluster.key().serialize_pem())?;
    write(layout, "front-proxy-ca.crt", &proxy.pem())?;

    let accounts = KeyPair::generate()?;
    write(layout, "sa.key", &accounts.serialize_pem())?;
    write(layout, "sa.pub", &accounts.public_key_pem())?;

    let api_names = [
        "127.0.0.1",
        NODE_ADDRESS,
        API_SERVICE,
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    let api = issue(&cluster, None, "kube-apiserver", &api_names)?;
    store(layout, "apiserver", &api)?;
    let kubelet = issue(&cluster, None, NODE, &["127.0.0.1", NODE_ADDRESS, NODE])?;
    store(layout, "kubelet-server", &kubelet)?;
    let client = issue(
        &cluster,
        Some("system:masters"),
        "apiserver-kubelet-client",
        &[],
    )?;
    store(layout, "apiserver-kubelet-client", &client)?;
    store(
        layout,
        "front-proxy-client",
        &issue(&proxy, None, "front-proxy-client", &[])?,
    )?;

    for (user, organization, name) in users() {
        let issued = issue(&cluster, organization, &name, &[])?;
        let file = layout.kubeconfig(user);
        write_private(file, &kubeconfig(user, &cluster.pem(), &issued).to_string())?;
    }
    Ok(())
}

fn authority(name: &str) -> Result<Authority> {
    let mut params = parameters(None, name, &[])?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// A server's certificate when there are names, else a client's.
fn issue(by: &Authority, organization: Option<&str>, name: &str, names: &[&str]) -> Result<Issued> {
    let mut params = parameters(organization, name, names)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![if names.is_empty() {
        ExtendedKeyUsagePurpose::ClientAuth
    } else {
        ExtendedKeyUsagePurpose::ServerAuth
    }];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, by)?;
    Ok(Issued {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

fn parameters(organization: Option<&str>, name: &str, names: &[&str]) -> Result<CertificateParams> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    let now = time::OffsetDateTime::now_utc();
    params.not_before = now - time::Duration::hours(1);
    params.not_after = now + time::Duration::days(365);
    params.distinguished_name = rcgen::DistinguishedName::new();
    if let Some(organization) = organization {
        params
            .distinguished_name
            .push(DnType::OrganizationName, organization);
    }
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn kubeconfig(user: &str, authority: &str, issued: &Issued) -> serde_json::Value {
    let encoded = |text: &str| STANDARD.encode(text);
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": CONTEXT, "cluster": {
            "server": "https://127.0.0.1:6443",
            "certificate-authority-data": encoded(authority),
        } }],
        "users": [{ "name": user, "user": {
            "client-certificate-data": encoded(&issued.certificate),
            "client-key-data": encoded(&issued.key),
        } }],
        "contexts": [{ "name": CONTEXT, "context": { "cluster": CONTEXT, "user": user } }],
        "current-context": CONTEXT,
    })
}

fn store(layout: &Layout, name: &str, issued: &Issued) -> Result<()> {
    write(layout, &format!("{name}.crt"), &issued.certificate)?;
    write(layout, &format!("{name}.key"), &issued.key)
}

fn write(layout: &Layout, file: &str, text: &str) -> Result<()> {
    write_private(layout.path("pki").join(file), text)
}

/// Writes a file that only its owner reads.
pub(super) fn write_private(file: PathBuf, text: &str) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(file)?;
    Ok(std::io::Write::write_all(&mut file, text.as_bytes())?)
}
