//! What is waited for, and what is not.

use serde_json::{Value, json};

use super::{Goal, Step, follow_until, step};
use crate::{admin::scripted, error::Error};

/// A projection at position 300 of 900, whose documents of number 2 are under this name.
fn status(documents: &str) -> Value {
    let mut status = json!({
        "projection": "allocations", "state": "running", "head": 900, "reason": null,
        "active": { "generation": 1, "position": 900 }, "building": null,
    });
    status[documents] = json!({
        "generation": 2, "position": 300, "events_per_second": 200,
        "partitions": [{ "failure": null }, { "failure": null }],
    });
    status
}

fn on(total: u64, remark: &str) -> Step {
    Step::On {
        done: 300,
        total: Some(total),
        remark: remark.to_owned(),
    }
}

fn why(step: Step) -> String {
    match step {
        Step::Stopped(why) => why,
        step => panic!("{step:?}"),
    }
}

#[test]
fn a_rebuild_is_followed_until_its_documents_are_asked() {
    let mut status = status("building");
    let goal = Goal::of_rebuild(&status).unwrap();
    assert_eq!(step(&status, &goal), on(900, "200 events/s, 3 s left"));
    status["building"]["events_per_second"] = json!(0);
    assert_eq!(step(&status, &goal), on(900, "0 events/s"));
    status["active"] = status["building"].take();
    assert_eq!(step(&status, &goal), Step::Done);
    // It was over before anybody looked.
    assert_eq!(Goal::of_rebuild(&status).unwrap(), goal);
}

#[test]
fn a_rebuild_that_was_given_up_is_not_told_as_done() {
    let mut status = status("building");
    let goal = Goal::of_rebuild(&status).unwrap();
    let building = status["building"].take();
    let given_up = why(step(&status, &goal));
    assert!(
        given_up.contains("projections show allocations"),
        "{given_up}"
    );
    status["building"] = building;
    status["building"]["generation"] = json!(3);
    why(step(&status, &goal));
    status["active"] = status["building"].take();
    why(step(&status, &goal));
}

#[test]
fn a_refresh_is_followed_until_what_was_stored_at_its_beginning() {
    let mut status = status("active");
    let goal = Goal::of_refresh(&status).unwrap();
    status["head"] = json!(1500);
    assert_eq!(step(&status, &goal), on(900, "200 events/s, 3 s left"));
    status["reason"] = json!("nobody works on it");
    let remark = "200 events/s, 3 s left; nobody works on it";
    assert_eq!(step(&status, &goal), on(900, remark));
    status["active"]["position"] = json!(900);
    assert_eq!(step(&status, &goal), Step::Done);
    assert!(Goal::of_refresh(&json!({})).is_err() && Goal::of_rebuild(&json!({})).is_err());
}

#[test]
fn what_cannot_go_on_is_not_waited_for() {
    for (documents, goal, is_given_up) in [
        ("building", Goal::Rebuilt(2), true),
        ("active", Goal::Reached(900), false),
    ] {
        let mut status = status(documents);
        let failure = json!({ "position": 7, "message": "it makes no sense" });
        status[documents]["partitions"][1]["failure"] = failure;
        let failed = why(step(&status, &goal));
        assert!(
            failed.contains("the event at position 7: it makes no sense"),
            "{failed}"
        );
        assert_eq!(
            failed.contains("cancel-rebuild allocations"),
            is_given_up,
            "{failed}"
        );
        status[documents]["partitions"][1]["failure"]["position"] = json!(901);
        let is_beyond = !is_given_up;
        assert_eq!(matches!(step(&status, &goal), Step::On { .. }), is_beyond);
        status["state"] = json!("paused");
        let paused = why(step(&status, &goal));
        assert!(
            paused.contains("signet projections resume allocations"),
            "{paused}"
        );
    }
}

#[tokio::test]
async fn a_restart_of_central_does_not_end_it() {
    let begun = status("building");
    let mut done = begun.clone();
    done["active"] = done["building"].take();
    let away = json!({ "error": { "message": "not now" } });
    let (router, _asked) =
        scripted::answers(vec![(200, begun.clone()), (503, away), (200, done.clone())]);
    let (client, _secret) = scripted::central(router).await;
    let goal = Goal::Rebuilt(2);
    let never = std::future::pending();

    let outcome = follow_until(&client, "/", &goal, begun, never).await;

    assert_eq!(outcome.unwrap(), done);
}

#[tokio::test]
async fn who_does_not_wait_for_the_outcome_is_not_told_that_all_is_well() {
    let (router, _asked) = scripted::answers(vec![(200, status("active"))]);
    let (client, _secret) = scripted::central(router).await;
    let goal = Goal::Reached(900);

    let outcome = follow_until(&client, "/", &goal, status("active"), async {}).await;

    let error: Error = outcome.unwrap_err();
    assert_eq!(error.code(), "SIGNET-CLI-0010");
}
