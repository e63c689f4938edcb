//! The tests on a real cluster, in the order they run: the story first, then what can be tried side by
//! side, then what breaks Signet's own pods.

mod administration;
mod bad_input;
mod crds;
mod deletion;
mod failover;
mod isolation;
mod logs;
mod outage;
mod story;
mod tokens;
mod upgrade;
mod webhook;

fn main() -> std::process::ExitCode {
    e2e::runner::main(e2e::tests![
        Alone: story::works,
        Together: tokens::expired_token_is_refused,
        Together: isolation::second_tenant_gets_nothing,
        Together: tokens::forged_tokens_are_refused,
        Together: bad_input::unknown_tenant_is_said_and_heals,
        Together: bad_input::bad_condition_is_said_and_heals,
        Together: bad_input::overlapping_segment_is_said_and_heals,
        Together: bad_input::shrinking_segment_is_refused_and_heals,
        Together: bad_input::future_epoch_is_said_and_heals,
        Together: bad_input::unknown_generator_is_not_found,
        Together: bad_input::exhausted_generator_is_said,
        Together: crds::invalid_resources_are_refused_at_apply,
        Together: crds::samples_are_taken_as_they_are,
        Together: webhook::pod_can_opt_out,
        Together: webhook::pod_can_opt_in,
        Together: webhook::job_with_a_sidecar_completes,
        Together: webhook::invalid_annotation_is_denied_by_name,
        Together: webhook::annotations_change_the_sidecar,
        Together: webhook::injection_happens_once,
        Together: webhook::pod_older_than_its_label_is_warned_of,
        Together: administration::needs_the_bootstrap_secret,
        Together: deletion::deleted_tenant_is_closed,
        Together: deletion::retained_tenant_holds,
        Together: deletion::finalizers_hold_and_let_go,
        Alone: logs::are_objects_without_secrets,
        Alone: outage::webhook_away_holds_up_nobody_else,
        Alone: outage::ids_run_out_without_central,
        Alone: failover::statuses_outlast_the_leader,
        Alone: failover::central_killed_while_ids_are_taken,
        Alone: failover::operator_killed_and_another_leads,
        Alone: upgrade::keeps_keys_and_certificates,
    ])
}
