//! Logs: one JSON object a line on standard output.

use tracing_subscriber::EnvFilter;

/// Starts logging. `directives`: a level such as `info`, or directives of `tracing`.
///
/// # Errors
/// The directives cannot be read, or something logs already.
pub fn install(directives: &str) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let filter = EnvFilter::try_new(directives)?;
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_env_filter(filter)
        .try_init()
}
