//! The tests on a real cluster. `e2e::runner` runs them.
fn main() -> std::process::ExitCode {
    e2e::runner::main(vec![])
}
