//! Building the programs statically and packing them.

use std::collections::BTreeMap;
use std::env::consts::ARCH;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::{IMAGES, Image, Listing, Packed, REGISTRY};
use crate::archive::{self, Contents, Tag};
use crate::progress::Steps;
use crate::{paths, process};

/// Builds and packs every image, and writes `target/images/images.json`.
///
/// # Errors
/// When the programs do not compile or an archive cannot be written.
pub(crate) fn build(steps: &Steps) -> Result<Listing> {
    let triple = format!("{ARCH}-unknown-linux-gnu");
    let target = paths::target().join("image");
    steps.run("programs built statically", || {
        let mut cargo = process::cargo();
        cargo.args([
            "build",
            "--locked",
            "--workspace",
            "--profile",
            "image",
            "--target",
            &triple,
        ]);
        for (_, program) in IMAGES.iter().flat_map(|image| image.files) {
            cargo.args(["--bin", program]);
        }
        cargo
            .env("CARGO_TARGET_DIR", &target)
            .env("RUSTFLAGS", "-C target-feature=+crt-static");
        process::run(&mut cargo)
    })?;
    let programs = target.join(&triple).join("image");
    let folder = paths::target().join("images");
    fs::create_dir_all(&folder)?;
    steps.run("images packed", || {
        let mut images = BTreeMap::new();
        for image in &IMAGES {
            images.insert(image.name.to_owned(), pack(image, &programs, &folder)?);
        }
        let file = folder.join("images.json");
        fs::write(&file, serde_json::to_vec_pretty(&images)?)?;
        Ok(Listing { file, images })
    })
}

fn pack(image: &Image, programs: &Path, folder: &Path) -> Result<Packed> {
    let contents = Contents {
        files: image
            .files
            .iter()
            .map(|(path, program)| ((*path).to_owned(), programs.join(program)))
            .collect(),
        user: Some(image.user.to_owned()),
        entrypoint: image
            .entrypoint
            .iter()
            .map(|&word| word.to_owned())
            .collect(),
    };
    let repository = format!("{REGISTRY}/{}", image.name);
    let archive = folder.join(format!("{}.tar", image.name));
    let name = archive::pack(&repository, &Tag::Content, &contents, &archive)?;
    let (_, tag) = name.rsplit_once(':').context("an image's name has a tag")?;
    Ok(Packed {
        tag: tag.to_owned(),
        image: name,
        repository,
        archive,
    })
}
