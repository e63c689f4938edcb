//! `signet`: see the crate's documentation, or `signet --help`.

use std::process::ExitCode;

use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        cli::output::failure("another TLS provider was installed before ours");
        return ExitCode::FAILURE;
    }
    match cli::run(cli::Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::output::failure(&format!("{error} [{}]", error.code()));
            ExitCode::FAILURE
        }
    }
}
