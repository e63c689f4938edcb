use clap::{CommandFactory as _, Parser as _};

use super::Config;

const REQUIRED: [&str; 8] = [
    "--base-url",
    "https://signet.example/",
    "--database-url",
    "postgres://signet:hunter2@db/signet",
    "--master-key-file",
    "/k",
    "--bootstrap-token-file",
    "/b",
];

fn parse(extra: &[&str]) -> Result<Config, clap::Error> {
    Config::try_parse_from(["signet-central"].iter().chain(&REQUIRED).chain(extra))
}

#[test]
fn the_command_line_is_sound() {
    Config::command().debug_assert();
}

#[test]
fn defaults_are_those_of_the_contract() {
    let config = parse(&[]).unwrap();

    assert_eq!(config.listen.to_string(), "0.0.0.0:7750");
    assert_eq!(config.token_audience, "signet-central");
    assert_eq!(config.trust_domain, "cluster.local");
    assert_eq!(
        config.operator_service_account.to_string(),
        "signet-system/signet-operator"
    );
    assert_eq!(config.key_propagation.as_secs(), 60);
    assert_eq!(config.checkpoint_interval.as_secs(), 600);
    assert_eq!(config.shutdown_grace.as_secs(), 20);
    assert!(config.validate().is_ok());
}

#[test]
fn an_issuer_is_made_from_the_base_without_a_doubled_slash() {
    assert_eq!(
        parse(&[]).unwrap().issuer("acme"),
        "https://signet.example/t/acme"
    );
}

#[test]
fn a_password_in_the_database_url_is_never_printed() {
    let printed = format!("{:?}", parse(&[]).unwrap());

    assert!(!printed.contains("hunter2"), "{printed}");
}

#[test]
fn a_database_url_is_refused_without_its_password() {
    let mut arguments = vec!["signet-central"];
    for pair in REQUIRED
        .chunks(2)
        .filter(|pair| pair[0] != "--database-url")
    {
        arguments.extend(pair);
    }
    for url in ["mysql://u:hunter2@h/d", "\"postgres://u:hunter2@h/d\"", ""] {
        let config = Config::try_parse_from([&arguments[..], &["--database-url", url]].concat());
        let error = config.unwrap().validate().unwrap_err().to_string();

        assert!(error.contains("--database-url"), "{error}");
        assert!(error.contains("postgres://"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn one_half_of_a_certificate_is_refused() {
    let error = parse(&["--tls-cert-file", "/tls.crt"])
        .unwrap_err()
        .to_string();

    assert!(error.contains("--tls-key-file"), "{error}");
}

#[test]
fn a_wrong_value_is_refused_with_a_hint() {
    for (flag, value, hint) in [
        ("--base-url", "ftp://x", "https://"),
        ("--base-url", "https://x/?a=b", "query"),
        ("--trust-domain", "Cluster.Local", "lower-case"),
        (
            "--operator-service-account",
            "signet-operator",
            "NAMESPACE/NAME",
        ),
        ("--shutdown-grace", "soon", "20s"),
    ] {
        let mut arguments = vec!["signet-central"];
        for pair in REQUIRED.chunks(2).filter(|pair| pair[0] != flag) {
            arguments.extend(pair);
        }
        arguments.extend([flag, value]);
        let error = Config::try_parse_from(arguments).unwrap_err().to_string();

        assert!(error.contains(hint), "{flag} {value}: {error}");
    }
}

#[test]
fn values_that_do_not_fit_together_name_their_flag() {
    for (flag, value) in [
        ("--token-audience", " "),
        ("--key-propagation", "48h"),
        ("--key-check-interval", "0s"),
        ("--shutdown-grace", "1h"),
    ] {
        let error = parse(&[flag, value]).unwrap().validate().unwrap_err();

        assert_eq!(error.code(), "SIGNET-CENTRAL-0101");
        assert!(error.to_string().contains(flag), "{error}");
    }
}

#[test]
fn the_address_of_a_replica_is_optional_and_a_secret() {
    assert!(parse(&[]).unwrap().database_replica_url().is_none());

    let url = "postgres://signet:swordfish@replica/signet";
    let config = parse(&["--database-replica-url", url]).unwrap();
    assert_eq!(config.database_replica_url(), Some(url));
    assert!(config.validate().is_ok());
    assert!(!format!("{config:?}").contains("swordfish"));
}

#[test]
fn a_replica_that_is_none_is_refused_without_its_password() {
    let sqlite = ["signet-central", "--database-url", "sqlite://signet.db"]
        .into_iter()
        .chain(REQUIRED[..2].iter().chain(&REQUIRED[4..]).copied());
    let of_sqlite = sqlite.chain(["--database-replica-url", "postgres://u:swordfish@h/d"]);
    for config in [
        Config::try_parse_from(of_sqlite),
        parse(&["--database-replica-url", "mysql://u:swordfish@h/d"]),
        parse(&["--database-replica-url", ""]),
    ] {
        let error = config.unwrap().validate().unwrap_err().to_string();
        assert!(error.contains("--database-replica-url"), "{error}");
        assert!(!error.contains("swordfish"), "{error}");
    }
}
