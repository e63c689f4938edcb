//! On TLS, one port speaks HTTP/1.1 and HTTP/2.

use std::fs;

use protocol::v1::provision_client::ProvisionClient;
use reqwest::Version;
use tonic::transport::{Certificate, Channel, ClientTlsConfig};

use crate::support::{
    Central, Database, Secrets,
    central::OPERATOR,
    samples::{applied_tenant, tenant},
    with_bearer,
};

#[tokio::test]
async fn one_port_speaks_http_1_and_2_and_grpc() {
    let secrets = Secrets::new();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::write(secrets.path("tls.crt"), made.cert.pem()).unwrap();
    fs::write(secrets.path("tls.key"), made.signing_key.serialize_pem()).unwrap();
    let (cert, key) = (secrets.path("tls.crt"), secrets.path("tls.key"));
    let flags = [
        "--tls-cert-file",
        cert.as_str(),
        "--tls-key-file",
        key.as_str(),
    ];
    let central = Central::start(&secrets, &Database::sqlite(), &flags).await;
    let port = central.running.address().port();
    let url = format!("https://localhost:{port}/live");
    let root = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();

    let client = || reqwest::Client::builder().tls_certs_only([root.clone()]);
    let negotiated = client().build().unwrap().get(&url).send().await.unwrap();
    assert_eq!(
        (negotiated.status().as_u16(), negotiated.version()),
        (200, Version::HTTP_2)
    );
    let old = client()
        .http1_only()
        .build()
        .unwrap()
        .get(&url)
        .send()
        .await
        .unwrap();
    assert_eq!(
        (old.status().as_u16(), old.version()),
        (200, Version::HTTP_11)
    );
    let strangers_root = reqwest::Client::new().get(&url).send().await;
    assert!(
        strangers_root.is_err(),
        "an unknown certificate was accepted"
    );

    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(made.cert.pem()))
        .domain_name("localhost");
    let channel = Channel::from_shared(format!("https://localhost:{port}"))
        .unwrap()
        .tls_config(tls)
        .unwrap()
        .connect()
        .await
        .unwrap();
    let request = with_bearer(OPERATOR, tenant("acme", &["shop"]));
    applied_tenant(
        ProvisionClient::new(channel)
            .apply_tenant(request)
            .await
            .unwrap(),
    );
}
