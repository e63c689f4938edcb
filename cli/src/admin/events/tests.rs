//! What is asked for, and how it is shown.

use clap::Parser as _;
use serde_json::json;

use super::{Filter, Options, line, list_path, tail};
use crate::{
    Cli, Command,
    admin::{scripted, table::Format},
};

fn parsed(line: &str) -> Result<Options, clap::Error> {
    match Cli::try_parse_from(line.split(' '))?.command {
        Command::Events(options) => Ok(options),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_filter_becomes_a_parameter() {
    let all = parsed(
        "signet events list --tenant acme --type A,B --stream-type role --stream-id shop/reader \
         --from 2026-01-01T00:00:00Z --until 2026-01-02T00:00:00Z --after 3 --before 9 \
         --limit 7 --backward",
    );
    assert_eq!(
        list_path(&all.unwrap().what),
        "/api/v1/tenants/acme/events?type=A%2CB&stream_type=role&stream_id=shop%2Freader\
         &from=2026-01-01T00%3A00%3A00Z&until=2026-01-02T00%3A00%3A00Z&after=3&before=9\
         &limit=7&direction=backward"
    );
    let plain = parsed("signet events list -o json").unwrap();
    assert_eq!(list_path(&plain.what), "/api/v1/events?limit=100");
    assert_eq!(plain.shared.output, Format::Json);
}

#[test]
fn what_is_wrong_is_refused() {
    for wrong in [
        "signet events",
        "signet events list --after x",
        "signet events verify acme",
    ] {
        assert!(parsed(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn an_event_is_one_line() {
    let event = json!({
        "position": 7, "recorded_at": "t", "tenant": "acme", "event_type": "RoleDeclared",
        "stream_type": "role", "stream_id": "shop/reader", "stream_version": 1,
    });
    let text = line(&event, Format::Table);
    assert_eq!(text, "7   t   acme   RoleDeclared   role   shop/reader   1");
    assert!(!line(&event, Format::Json).contains('\n'));
}

#[tokio::test]
async fn a_tail_goes_on_after_a_restart_where_it_was() {
    let away = json!({ "error": { "message": "not now" } });
    let event = |position: u64| json!({ "position": position });
    let page =
        |position: u64| json!({ "events": [event(position)], "next": position, "end": true });
    let (router, asked) = scripted::answers(vec![
        (200, page(7)),
        (200, page(8)),
        (503, away),
        (200, page(9)),
        (404, json!({ "error": { "message": "that is all" } })),
    ]);
    let (client, _secret) = scripted::central(router).await;
    let filter = Filter {
        tenant: None,
        types: None,
        stream_type: None,
        stream_id: None,
        correlation_id: None,
    };

    let ended = tail(&client, &filter, None, Format::Json).await;

    assert!(ended.unwrap_err().to_string().contains("that is all"));
    let asked = asked.lock().unwrap().clone();
    let after = |position: u64| format!("/api/v1/events?after={position}");
    let newest = "/api/v1/events?direction=backward&limit=1".to_owned();
    assert_eq!(asked, [newest, after(7), after(8), after(8), after(9)]);
}
