//! The program as the kubelet starts it.

use std::process::Command;

use serde_json::Value;

const REQUIRED: [&str; 3] = [
    "--namespace=signet-system",
    "--pod-name=signet-operator-0",
    "--sidecar-image=signet/sidecar:1",
];

/// What ends it is told as all else: by a line of JSON, with its code.
#[test]
fn why_it_ended_is_a_line_of_the_log() {
    for (argument, code, about) in [
        (
            "--resync-interval=1s",
            "SIGNET-OPERATOR-0001",
            "resync-interval",
        ),
        ("--log=operator=loud", "", "--log"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_signet-operator"))
            .args(REQUIRED)
            .arg(argument)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{argument}: {output:?}");
        assert!(output.stderr.is_empty(), "{argument}: {output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let [line] = text.lines().collect::<Vec<_>>()[..] else {
            panic!("{argument}: not one line: {text}")
        };
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["level"], "ERROR", "{line}");
        assert_eq!(event["code"].as_str().unwrap_or_default(), code, "{line}");
        assert!(
            event["message"]
                .as_str()
                .is_some_and(|text| text.contains(about)),
            "{line}"
        );
    }
}
