//! A central in a process of its own, to be killed.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use super::{
    Database, Secrets,
    central::{CHECKOUT, OPERATOR},
};

/// The real program.
pub(crate) struct Process {
    child: Child,
    pub(crate) url: String,
}

impl Process {
    pub(crate) fn start(secrets: &Secrets, database: &Database) -> Self {
        let callers = secrets.path("callers.json");
        let checkout = json!({ "workload": {
            "namespace": "shop", "serviceAccount": "checkout", "pod": "checkout-1", "podUid": "u"
        } });
        fs::write(
            &callers,
            json!({ (OPERATOR): "operator", (CHECKOUT): checkout }).to_string(),
        )
        .unwrap();
        let flags = secrets.flags(database, &["--static-callers", &callers]);
        let mut child = Command::new(env!("CARGO_BIN_EXE_signet-central"))
            .args(&flags[1..])
            .env_remove("SIGNET_LOG")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().expect("it ended at its start").unwrap();
            let line: Value = serde_json::from_str(&line).expect("a log line is JSON");
            if line["message"] == "listening" {
                break line["address"].as_str().unwrap().to_owned();
            }
        };
        // What it says later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            url: format!("http://{address}"),
        }
    }

    /// As by `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
