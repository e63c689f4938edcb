//! Container images as uncompressed docker-archives: `config.json`, `layer.tar`, `manifest.json`.
//! The same input gives the same bytes, whoever packs it and when.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

/// What an image holds and how it starts.
pub(crate) struct Contents {
    /// Absolute path in the image and the file on this machine.
    pub(crate) files: Vec<(String, PathBuf)>,
    /// Numeric `uid:gid`; none leaves the choice to the pod.
    pub(crate) user: Option<String>,
    pub(crate) entrypoint: Vec<String>,
}

/// How the tag of a packed image is found.
pub(crate) enum Tag {
    /// This one.
    Fixed(String),
    /// Twelve digits of the hash of what the image holds, so that another content is another image.
    Content,
}

/// Packs `contents` into the docker-archive `out`; gives the full name, `repository:tag`.
///
/// # Errors
/// When a file cannot be read or the archive cannot be written.
pub(crate) fn pack(repository: &str, tag: &Tag, contents: &Contents, out: &Path) -> Result<String> {
    let folder = out.parent().context("an archive needs a folder")?;
    let mut layer = tempfile::tempfile_in(folder)?;
    let mut writer = Builder::new(Hashing {
        inner: &mut layer,
        hasher: Sha256::new(),
    });
    for (path, source) in &contents.files {
        add_file(&mut writer, path, source)?;
    }
    let digest = hex(&writer.into_inner()?.hasher.finalize());

    let mut config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": { "Entrypoint": contents.entrypoint },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
    });
    if let Some(user) = &contents.user {
        config["config"]["User"] = json!(user);
    }
    let config = serde_json::to_vec(&config)?;
    let tag = match tag {
        Tag::Fixed(tag) => tag.clone(),
        Tag::Content => hex(&Sha256::digest(&config))[..12].to_owned(),
    };
    let name = format!("{repository}:{tag}");
    let manifest =
        json!([{ "Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"] }]);

    let mut whole = tempfile::NamedTempFile::new_in(folder)?;
    let mut builder = Builder::new(whole.as_file_mut());
    add(
        &mut builder,
        "config.json",
        0o644,
        config.len() as u64,
        &mut config.as_slice(),
    )?;
    let length = layer.metadata()?.len();
    io::Seek::rewind(&mut layer)?;
    add(&mut builder, "layer.tar", 0o644, length, &mut layer)?;
    let manifest = serde_json::to_vec(&manifest)?;
    add(
        &mut builder,
        "manifest.json",
        0o644,
        manifest.len() as u64,
        &mut manifest.as_slice(),
    )?;
    builder.into_inner()?.flush()?;
    whole
        .persist(out)
        .with_context(|| format!("{} cannot be written", out.display()))?;
    Ok(name)
}

fn add_file<W: Write>(builder: &mut Builder<W>, path: &str, source: &Path) -> Result<()> {
    let path = path.trim_start_matches('/');
    let mut file =
        File::open(source).with_context(|| format!("{} cannot be read", source.display()))?;
    for (slash, _) in path.match_indices('/') {
        let mut header = plain_header(EntryType::Directory, 0o755, 0);
        builder.append_data(&mut header, &path[..slash], io::empty())?;
    }
    add(builder, path, 0o755, file.metadata()?.len(), &mut file)
}

fn add<W: Write>(
    builder: &mut Builder<W>,
    path: &str,
    mode: u32,
    length: u64,
    from: &mut dyn Read,
) -> Result<()> {
    let mut header = plain_header(EntryType::Regular, mode, length);
    builder.append_data(&mut header, path, from)?;
    Ok(())
}

fn plain_header(kind: EntryType, mode: u32, length: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(length);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Hashing<W> {
    inner: W,
    hasher: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::fs;

    fn contents(folder: &Path, text: &str) -> Contents {
        let source = folder.join("program");
        fs::write(&source, text).unwrap();
        Contents {
            files: vec![("/bin/program".to_owned(), source)],
            user: Some("65532:65532".to_owned()),
            entrypoint: vec!["/bin/program".to_owned()],
        }
    }

    fn members(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
        tar::Archive::new(bytes)
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                assert_eq!(entry.header().mtime().unwrap(), 0);
                let mut content = Vec::new();
                entry.read_to_end(&mut content).unwrap();
                (entry.path().unwrap().display().to_string(), content)
            })
            .collect()
    }

    #[test]
    fn an_archive_is_reproducible_and_named_by_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a.tar"), folder.path().join("b.tar"));
        let first = pack(
            "e2e.local/p",
            &Tag::Content,
            &contents(folder.path(), "x"),
            &a,
        )
        .unwrap();
        let again = pack(
            "e2e.local/p",
            &Tag::Content,
            &contents(folder.path(), "x"),
            &b,
        )
        .unwrap();
        assert_eq!(first, again);
        assert_eq!(fs::read(&a).unwrap(), fs::read(&b).unwrap());
        let other = pack(
            "e2e.local/p",
            &Tag::Content,
            &contents(folder.path(), "y"),
            &b,
        )
        .unwrap();
        assert_ne!(first, other);
    }

    #[test]
    fn the_config_names_the_layer_the_user_and_the_entry_point() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("a.tar");
        let tag = Tag::Fixed("1".to_owned());
        let name = pack("e2e.local/p", &tag, &contents(folder.path(), "x"), &out).unwrap();
        assert_eq!(name, "e2e.local/p:1");

        let outer = members(&fs::read(&out).unwrap());
        let manifest: serde_json::Value = serde_json::from_slice(&outer["manifest.json"]).unwrap();
        assert_eq!(manifest[0]["RepoTags"][0], "e2e.local/p:1");
        let config: serde_json::Value = serde_json::from_slice(&outer["config.json"]).unwrap();
        assert_eq!(config["config"]["User"], "65532:65532");
        assert_eq!(config["config"]["Entrypoint"][0], "/bin/program");
        let digest = format!("sha256:{}", hex(&Sha256::digest(&outer["layer.tar"])));
        assert_eq!(config["rootfs"]["diff_ids"][0], digest);

        let layer = members(&outer["layer.tar"]);
        assert_eq!(layer["bin/program"], b"x");
        assert!(layer.contains_key("bin/") || layer.contains_key("bin"));
    }
}
