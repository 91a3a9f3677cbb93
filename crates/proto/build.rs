//! Compiles the `.proto` files with protox, a protobuf compiler in Rust, so that no `protoc` is needed.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = [
        "slipway/catalog/v1/catalog.proto",
        "slipway/orders/v1/orders.proto",
    ];
    let descriptors = protox::compile(files, ["proto"])?;

    // gRPC reflection serves these descriptors.
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(
        out.join("descriptors.bin"),
        protox::prost::Message::encode_to_vec(&descriptors),
    )?;

    tonic_prost_build::configure()
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
