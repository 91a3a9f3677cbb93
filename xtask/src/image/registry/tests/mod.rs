//! Against the real `docker-registry`, directly and through a proxy that makes trouble.

mod auth;
mod faults;
mod proxy;
mod push;
#[path = "../../../../tests/fixture/registry.rs"]
mod registry;

use std::time::Duration;

use serde_json::json;

use super::{Registry, credentials::Credentials, retry::Patience};
use crate::image::{Attached, Blob, Image, KEY_MANIFEST, MANIFEST};

const SBOM: &str = "application/vnd.cyclonedx+json";

/// Waits and silences of milliseconds, attempts as ever.
const QUICK: Patience = Patience {
    attempts: 6,
    first: Duration::from_millis(5),
    longest: Duration::from_secs(3),
    silence: Duration::from_secs(2),
};

fn anonymous() -> Registry {
    Registry::with(Credentials::none(), QUICK)
}

/// An image with two layers; `text` makes it another one, the first layer is the same for all.
fn image(text: &str) -> Image {
    let layer = "application/vnd.oci.image.layer.v1.tar+gzip";
    let base = Blob::new(layer, b"the base".repeat(1000));
    let binary = Blob::new(layer, text.as_bytes().repeat(100_000));
    let config = Blob::new(
        "application/vnd.oci.image.config.v1+json",
        json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}})
            .to_string()
            .into_bytes(),
    );
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.descriptor(),
        "layers": [base.descriptor(), binary.descriptor()],
    });
    let manifest = Blob::new(MANIFEST, manifest.to_string().into_bytes());
    let about = |kind, text: &str| {
        let bytes = json!({"about": text}).to_string().into_bytes();
        Attached::json(&manifest.descriptor(), kind, bytes).unwrap()
    };
    Image {
        key: "0".repeat(64),
        attached: vec![about(KEY_MANIFEST, text), about(SBOM, text)],
        layers: vec![base, binary],
        config,
        manifest,
    }
}

/// An error with its causes and its hint, as a person reads it.
fn told<T: std::fmt::Debug>(result: anyhow::Result<T>) -> String {
    let error = result.unwrap_err();
    let parts: Vec<String> = error.chain().rev().map(ToString::to_string).collect();
    parts.join(" | ")
}
