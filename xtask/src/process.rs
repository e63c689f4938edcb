//! Running other programs: every failure names the command and shows the end of what it said.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, io};

use anyhow::{Context, Result, bail};

/// This very program, for starting it again. Its path would not do: a build that `test` itself starts
/// may have put another file there.
pub(crate) const THIS_PROGRAM: &str = "/proc/self/exe";

/// Lines of a log that a failure shows.
const TAIL_LINES: usize = 25;

/// Runs `command` in view of the user.
///
/// # Errors
/// When it cannot be started or does not end well.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| not_started(command))?;
    if !status.success() {
        bail!("`{}` ended with {status}", line(command));
    }
    Ok(())
}

/// Runs `command` and gives its standard output.
///
/// # Errors
/// When it cannot be started or does not end well; then with the end of its standard error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| not_started(command))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!(
            "`{}` ended with {}\n{}",
            line(command),
            output.status,
            last_lines(&said)
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{}` wrote no text", line(command)))
}

/// Runs `command` with `input` as its standard input and gives its standard output.
///
/// # Errors
/// As [`output`].
pub(crate) fn feed(command: &mut Command, input: &[u8]) -> Result<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| not_started(command))?;
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(input) {
            // Why it stopped reading is in what it says.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error.into()),
            _ => {}
        }
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!(
            "`{}` ended with {}\n{}",
            line(command),
            output.status,
            last_lines(&said)
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{}` wrote no text", line(command)))
}

/// Runs `command` in view of the user and gives its standard output as well.
///
/// # Errors
/// When it cannot be started or does not end well.
pub(crate) fn watched(command: &mut Command) -> Result<String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| not_started(command))?;
    let mut said = String::new();
    for text in child
        .stdout
        .take()
        .into_iter()
        .flat_map(|out| BufReader::new(out).lines())
    {
        let text = text?;
        println!("{text}");
        said.push_str(&text);
        said.push('\n');
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("`{}` ended with {status}", line(command));
    }
    Ok(said)
}

/// The end of a log file, headed by its name; says so when there is none.
pub(crate) fn tail(log: &Path) -> String {
    match fs::read(log) {
        Ok(bytes) => {
            format!(
                "-- end of {}\n{}",
                log.display(),
                last_lines(&String::from_utf8_lossy(&bytes))
            )
        }
        Err(error) => format!("-- {} cannot be read: {error}", log.display()),
    }
}

/// Where `program` lies: on the PATH, or in the folders of system programs that a user's PATH may
/// lack.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| path.is_file());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// A command for `program`, found as [`find`] does.
pub(crate) fn command(program: &str) -> Command {
    Command::new(find(program).unwrap_or_else(|| PathBuf::from(program)))
}

/// A command for this toolchain's cargo, in the root of the checkout.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(crate::paths::checkout());
    command
}

/// The command as one would type it, cut to a readable length.
pub(crate) fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let text = words
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ");
    match text.char_indices().nth(200) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

fn not_started(command: &Command) -> String {
    format!("`{}` cannot be started", line(command))
}

fn last_lines(text: &str) -> String {
    let mut kept = VecDeque::with_capacity(TAIL_LINES);
    for line in text.lines() {
        if kept.len() == TAIL_LINES {
            kept.pop_front();
        }
        kept.push_back(line);
    }
    Vec::from(kept).join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_what_was_said() {
        let error = output(Command::new("sh").args(["-c", "echo out; echo why >&2; exit 3"]))
            .expect_err("it ends with 3");
        assert!(error.to_string().contains("exit status: 3"), "{error}");
        assert!(error.to_string().contains("why"), "{error}");
    }

    #[test]
    fn only_the_end_of_a_long_text_is_kept() {
        let text = (0..100)
            .map(|n| n.to_string())
            .collect::<Vec<_>>()
            .join("\n");
        let kept = last_lines(&text);
        assert!(kept.starts_with("75\n") && kept.ends_with("\n99"), "{kept}");
    }

    #[test]
    fn programs_outside_the_path_are_found() {
        assert!(find("sh").is_some());
        assert!(find("no-such-program-here").is_none());
    }
}
