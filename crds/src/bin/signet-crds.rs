//! `signet-crds --output DIR` writes the resource definitions into DIR, one file each;
//! `signet-crds` alone writes them all to standard output.

use std::io::Write;
use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let manifests = crds::render()?;
    match arguments.as_slice() {
        ["--output", directory] => {
            let directory = PathBuf::from(directory);
            fs::create_dir_all(&directory)?;
            for manifest in manifests {
                fs::write(directory.join(manifest.file), manifest.text)?;
            }
        }
        [] => {
            let mut stdout = io::stdout().lock();
            for manifest in manifests {
                writeln!(stdout, "---\n{}", manifest.text.trim_end())?;
            }
        }
        _ => return Err("usage: signet-crds [--output DIR]".into()),
    }
    Ok(())
}
