//! Page tokens ([AIP-158](https://google.aip.dev/158)): where a page ended, opaque to clients.
//!
//! ```
//! use rpc::page_token::{open, seal};
//!
//! let token = seal(&["catalog.listing", "rope"], b"after this one");
//! assert_eq!(open(&["catalog.listing", "rope"], &token).as_deref(), Some(&b"after this one"[..]));
//! assert_eq!(open(&["catalog.listing", "brass"], &token), None);
//! ```

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

const CHECKSUM: usize = 12;

/// A token for `position` that is valid only in `scope`: the listing's name, and what it is narrowed
/// by. Its checksum finds what was tampered with; it has no key, so put nothing into a position that
/// the listing wouldn't show.
#[must_use]
pub fn seal(scope: &[&str], position: &[u8]) -> String {
    let mut token = checksum(scope, position).to_vec();
    token.extend_from_slice(position);
    BASE64_URL_SAFE_NO_PAD.encode(token)
}

/// The position that `token` stands for; `None` when it isn't a token of this scope.
#[must_use]
pub fn open(scope: &[&str], token: &str) -> Option<Vec<u8>> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
    let (sum, position) = bytes.split_first_chunk::<CHECKSUM>()?;
    (checksum(scope, position) == *sum).then(|| position.to_vec())
}

fn checksum(scope: &[&str], position: &[u8]) -> [u8; CHECKSUM] {
    let mut hash = Sha256::new();
    for part in scope.iter().map(|text| text.as_bytes()).chain([position]) {
        // A length keeps apart what would otherwise run together.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut sum = [0; CHECKSUM];
    sum.copy_from_slice(&hash.finalize()[..CHECKSUM]);
    sum
}
