//! What a command answers, on standard output. A reader that has seen enough, as `head` does, ends
//! the answer and not the program.

use std::io::{self, ErrorKind, Write};

use anyhow::{Context, Result};

/// Writes `text` and the end of the line.
///
/// # Errors
/// When it cannot be written, for any reason but that nobody reads.
pub(crate) fn line(text: &str) -> Result<()> {
    line_to(&mut io::stdout().lock(), text).context("the answer cannot be written")
}

fn line_to(out: &mut impl Write, text: &str) -> io::Result<()> {
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Refusing(ErrorKind);

    impl Write for Refusing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn only_a_reader_that_went_away_is_no_error() {
        let mut written = Vec::new();
        line_to(&mut written, "ready").unwrap();
        assert_eq!(written, b"ready\n");
        assert!(line_to(&mut Refusing(ErrorKind::BrokenPipe), "ready").is_ok());
        assert!(line_to(&mut Refusing(ErrorKind::StorageFull), "ready").is_err());
    }
}
