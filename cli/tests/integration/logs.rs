//! Whatever is logged, no secret is.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use super::world::{eventually, tenant};

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, and then the test says why.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn no_secret_is_logged_at_the_finest_level() {
    let folder = tempfile::tempdir().unwrap();
    let [files, data, log] = ["files", "data", "log"].map(|name| folder.path().join(name));
    fs::create_dir(&files).unwrap();
    fs::write(files.join("acme.yaml"), tenant("acme", "shop", 1)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_signet"));
    command.arg("dev").arg(&files).arg("--data").arg(&data);
    command.args(["--service-account", "shop/worker", "--log", "trace"]);
    command.args(["--port", "0", "--health-port", "0", "--central-port", "0"]);
    command.stdout(Stdio::piped());
    command.stderr(fs::File::create(&log).unwrap());
    let mut process = Process(command.spawn().unwrap());
    let mut lines = BufReader::new(process.0.stdout.take().unwrap()).lines();
    let mut address_of = |program: &str| {
        let mut named = lines.by_ref().map_while(Result::ok);
        let line = named.find_map(|line| Some(line.strip_prefix(program)?.trim().to_owned()));
        let line = line.unwrap_or_else(|| panic!("{program} did not start"));
        line.split(' ').next().unwrap().to_owned()
    };
    let (central, sidecar) = (address_of("central "), address_of("sidecar "));
    let secret = |name: &str| {
        fs::read_to_string(data.join(name))
            .unwrap()
            .trim()
            .to_owned()
    };
    let http = reqwest::Client::new();

    let own = http
        .get(format!("{sidecar}/v1/token"))
        .header("Signet-Request", "true");
    let own: Value = own.send().await.unwrap().json().await.unwrap();
    let token = own["access_token"].as_str().unwrap().to_owned();
    for (shown, status) in [(token.clone(), 200), (format!("{token}x"), 401)] {
        let verify = http
            .post(format!("{sidecar}/v1/token/verify"))
            .json(&json!({ "token": shown }));
        assert_eq!(verify.send().await.unwrap().status(), status);
    }
    let in_query = format!("{sidecar}/v1/ids/order-id?access_token={token}");
    assert_eq!(http.get(in_query).send().await.unwrap().status(), 400);
    let workload = secret("workload-0.token");
    let form = format!(
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange\
         &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt&subject_token={workload}"
    );
    let exchange = http
        .post(format!("{central}/t/acme/oauth2/token"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form);
    let exchanged: Value = exchange.send().await.unwrap().json().await.unwrap();
    let exchanged = exchanged["access_token"].as_str().unwrap().to_owned();
    let administrator = secret("bootstrap.token");
    for (bearer, status) in [(&administrator, 200), (&token, 401)] {
        let tenants = http
            .get(format!("{central}/api/v1/tenants"))
            .bearer_auth(bearer)
            .header("x-request-id", format!("answered-{status}"));
        assert_eq!(tenants.send().await.unwrap().status(), status);
    }

    let logged = eventually("the last request's line in the log", || async {
        let logged = fs::read_to_string(&log).unwrap();
        logged.contains("answered-401").then_some(logged)
    })
    .await;
    assert!(logged.contains("TRACE"), "the finest level is not logged");
    let signature = token.rsplit('.').next().unwrap().to_owned();
    for (what, text) in [
        ("a token", token),
        ("a token's signature", signature),
        ("a token that was exchanged", exchanged),
        ("a workload's credential", workload),
        ("the operator's credential", secret("operator.token")),
        ("the administrator's secret", administrator),
        ("the master key", secret("master.key")),
    ] {
        assert!(
            text.len() > 20 && !logged.contains(&text),
            "{what} is logged"
        );
    }
}
