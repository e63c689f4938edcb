//! Compiles the contracts in `proto/` without a `protoc` binary.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = ["resources", "provision", "sync"].map(|name| format!("signet/v1/{name}.proto"));
    let descriptors = protox::compile(files, ["proto"])?;
    tonic_prost_build::configure()
        .file_descriptor_set_path(
            std::path::PathBuf::from(std::env::var("OUT_DIR")?).join("descriptors.bin"),
        )
        .compile_fds(descriptors)?;
    Ok(())
}
