//! The packages in a program, in the program itself, as `cargo auditable` writes them and Trivy, Grype and
//! `rust-audit-info` read them: <https://github.com/rust-secure-code/cargo-auditable/blob/master/PARSING.md>.

use std::{collections::BTreeMap, io::Write};

use anyhow::Context;
use auditable_serde::{DependencyKind, Package, Source, VersionInfo};
use flate2::{Compression, write::ZlibEncoder};
use object::{LittleEndian, U16, U32, U64, elf, pod::bytes_of, read::elf::FileHeader};

use crate::{hint::WithHint, workspace::KeyManifest};

const SECTION: &[u8] = b".dep-v0\0";

/// The program with the packages that its key counts.
pub(super) fn with_packages(program: &[u8], manifest: &KeyManifest) -> anyhow::Result<Vec<u8>> {
    let json = serde_json::to_vec(&packages(manifest)?)?;
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    zlib.write_all(&json)?;
    with_section(program, &zlib.finish()?)
        .context("cannot add the list of packages to the program")
        .hint("images hold 64-bit little-endian ELF programs: see `target` in slipway.toml")
}

/// The service is the root; what only build scripts and procedural macros use is marked so.
fn packages(manifest: &KeyManifest) -> anyhow::Result<VersionInfo> {
    let index: BTreeMap<&str, usize> = (0..)
        .zip(manifest.packages.keys())
        .map(|(index, id)| (id.as_str(), index))
        .collect();
    let packages = manifest.packages.iter().map(|(id, package)| {
        let version = package.version.parse();
        Ok(Package {
            name: package.name.clone(),
            version: version.with_context(|| format!("the version of {}", package.name))?,
            source: match package.source.as_deref() {
                None => Source::Local,
                Some(source) if source.starts_with("git+") => Source::Git,
                Some(source) if is_crates_io(source) => Source::CratesIo,
                Some(_) => Source::Registry,
            },
            kind: if package.is_linked() {
                DependencyKind::Runtime
            } else {
                DependencyKind::Build
            },
            dependencies: package
                .dependencies
                .keys()
                .filter_map(|id| index.get(id.as_str()).copied())
                .collect(),
            root: *id == manifest.service,
        })
    });
    Ok(VersionInfo {
        packages: packages.collect::<anyhow::Result<_>>()?,
        format: 1,
    })
}

/// Whether a package with this source is one of crates.io.
pub(super) fn is_crates_io(source: &str) -> bool {
    [
        "registry+https://github.com/rust-lang/crates.io-index",
        "sparse+https://index.crates.io/",
    ]
    .contains(&source)
}

/// The program with one more section, which is not loaded when it runs. The section and a new table of all sections
/// come after what is there, so that everything else stays where it is.
fn with_section(program: &[u8], data: &[u8]) -> anyhow::Result<Vec<u8>> {
    const ENDIAN: LittleEndian = LittleEndian;
    let mut header = *elf::FileHeader64::<LittleEndian>::parse(program)?;
    let mut sections = header.section_headers(ENDIAN, program)?.to_vec();
    let names = sections
        .get_mut(usize::try_from(header.shstrndx(ENDIAN, program)?)?)
        .context("it has no names of sections")?;
    let (start, length) = (names.sh_offset.get(ENDIAN), names.sh_size.get(ENDIAN));
    let old = program
        .get(usize::try_from(start)?..usize::try_from(start + length)?)
        .context("it is cut off")?;

    let mut new = program.to_vec();
    let name = u32::try_from(length)?;
    names.sh_offset = U64::new(ENDIAN, new.len() as u64);
    names.sh_size = U64::new(ENDIAN, length + SECTION.len() as u64);
    new.extend([old, SECTION].concat());
    let (zero, none) = (U32::new(ENDIAN, 0), U64::new(ENDIAN, 0));
    sections.push(elf::SectionHeader64 {
        sh_name: U32::new(ENDIAN, name),
        sh_type: U32::new(ENDIAN, elf::SHT_PROGBITS),
        sh_flags: U64::new(ENDIAN, elf::SectionFlags(0)),
        sh_addr: none,
        sh_offset: U64::new(ENDIAN, new.len() as u64),
        sh_size: U64::new(ENDIAN, data.len() as u64),
        sh_link: zero,
        sh_info: zero,
        sh_addralign: U64::new(ENDIAN, 1),
        sh_entsize: none,
    });
    new.extend(data);
    new.resize(new.len().next_multiple_of(8), 0);
    header.e_shoff = U64::new(ENDIAN, new.len() as u64);
    header.e_shnum = U16::new(ENDIAN, u16::try_from(sections.len())?);
    for section in &sections {
        new.extend(bytes_of(section));
    }
    let header = bytes_of(&header);
    new[..header.len()].copy_from_slice(header);
    Ok(new)
}

#[cfg(test)]
mod tests {
    use object::read::elf::SectionHeader;

    use super::*;

    #[test]
    fn a_section_is_added_and_all_else_stays_where_it_is() {
        let program = std::fs::read("/proc/self/exe").unwrap();
        let new = with_section(&program, b"some data").unwrap();
        assert!(new[64..program.len()] == program[64..]);
        let sections = |bytes: &[u8]| {
            let header = elf::FileHeader64::<LittleEndian>::parse(bytes).unwrap();
            let sections = header.sections(LittleEndian, bytes).unwrap();
            let named = sections.iter().map(|section| {
                let name = sections.section_name(LittleEndian, section).unwrap();
                let data = section.data(LittleEndian, bytes).unwrap();
                (String::from_utf8_lossy(name).into_owned(), data.to_vec())
            });
            named
                .filter(|(name, _)| name != ".shstrtab")
                .collect::<Vec<_>>()
        };
        let (mut expected, found) = (sections(&program), sections(&new));
        expected.push((".dep-v0".to_owned(), b"some data".to_vec()));
        assert!(found == expected);
    }

    #[test]
    fn what_is_no_program_is_an_error() {
        for wrong in [b"".as_slice(), b"#!/bin/sh\n", b"\x7fELF\x02\x01\x01"] {
            assert!(with_section(wrong, b"data").is_err());
        }
    }
}
