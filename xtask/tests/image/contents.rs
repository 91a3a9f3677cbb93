//! What is in an image.

use std::{collections::BTreeMap, io::Read, os::unix::fs::PermissionsExt, process::Command};

use auditable_serde::{DependencyKind, VersionInfo};
use flate2::read::{GzDecoder, ZlibDecoder};
use object::{
    LittleEndian, elf,
    read::elf::{FileHeader, SectionHeader},
};
use serde_json::Value;
use tar::{Archive, EntryType};

use crate::{
    repo::Repo,
    run::{json, xtask},
};

/// Path -> mode, owner and content.
type Files = BTreeMap<String, (u32, u64, Vec<u8>)>;

fn files(tar: impl Read) -> Files {
    let mut archive = Archive::new(tar);
    let mut files = Files::new();
    let mut order = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header();
        assert_eq!(header.mtime().unwrap(), 0);
        let (mode, owner, kind) = (
            header.mode().unwrap(),
            header.uid().unwrap(),
            header.entry_type(),
        );
        let path = entry.path().unwrap().display().to_string();
        order.push(path.trim_end_matches('/').to_owned());
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        if kind == EntryType::Link {
            bytes = files[&entry.link_name().unwrap().unwrap().display().to_string()]
                .2
                .clone();
        }
        files.insert(path, (mode, owner, bytes));
    }
    assert!(order.is_sorted(), "{order:?}");
    files
}

/// The layers of alpha's image and its configuration.
fn image(repo: &Repo) -> (Vec<Files>, Value) {
    let folder = repo.around().display().to_string();
    json(&mut xtask(
        &repo.root,
        &["image", "alpha", "--json", "--oci-archive", &folder],
    ));
    let archive = files(std::fs::File::open(repo.around().join("alpha.tar")).unwrap());
    let blob = |digest: &Value| {
        let path = format!("blobs/{}", digest.as_str().unwrap().replace(':', "/"));
        archive[&path].2.as_slice()
    };
    let index: Value = serde_json::from_slice(&archive["index.json"].2).unwrap();
    let manifest: Value = serde_json::from_slice(blob(&index["manifests"][0]["digest"])).unwrap();
    let layers = manifest["layers"].as_array().unwrap().iter();
    let layers = layers
        .map(|layer| files(GzDecoder::new(blob(&layer["digest"]))))
        .collect();
    let config = serde_json::from_slice(blob(&manifest["config"]["digest"])).unwrap();
    (layers, config)
}

#[test]
fn the_program_stands_on_a_base_that_services_share() {
    let repo = Repo::new();
    let (layers, config) = image(&repo);
    let [base, own] = &layers[..] else {
        panic!("two layers")
    };
    assert_eq!(Vec::from_iter(own.keys()), ["alpha"]);
    assert_eq!((own["alpha"].0, own["alpha"].1), (0o555, 0));
    assert_eq!(
        config["config"]["Entrypoint"],
        serde_json::json!(["/alpha"])
    );
    assert_eq!(base["tmp/"].0, 0o1777);
    assert_eq!(base["etc/"].0, 0o755);
    let passwd = String::from_utf8(base["etc/passwd"].2.clone()).unwrap();
    assert!(passwd.contains("\nnonroot:x:65532:65532:"), "{passwd}");
    let zone = |name: &str| &base[&format!("usr/share/zoneinfo/{name}")].2;
    assert!(zone("Europe/Berlin").starts_with(b"TZif"));
    assert_eq!(zone("US/Pacific"), zone("America/Los_Angeles"));
}

#[test]
fn the_program_runs_and_lists_its_packages() {
    let repo = Repo::new();
    let (layers, _) = image(&repo);
    let program = &layers[1]["alpha"].2;

    let path = repo.around().join("alpha");
    std::fs::write(&path, program).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let ran = Command::new(&path).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&ran.stdout),
        "alpha\n generated macro shared\n"
    );

    let header = elf::FileHeader64::<LittleEndian>::parse(program.as_slice()).unwrap();
    let sections = header.sections(LittleEndian, program.as_slice()).unwrap();
    let (_, section) = sections.section_by_name(LittleEndian, b".dep-v0").unwrap();
    let zlib = section.data(LittleEndian, program.as_slice()).unwrap();
    let mut text = String::new();
    ZlibDecoder::new(zlib).read_to_string(&mut text).unwrap();
    let listed: VersionInfo = text.parse().unwrap();
    let packages: Vec<(&str, DependencyKind, bool)> = listed
        .packages
        .iter()
        .map(|package| (package.name.as_str(), package.kind, package.root))
        .collect();
    assert_eq!(
        packages,
        [
            ("codegen", DependencyKind::Build, false),
            ("macros", DependencyKind::Build, false),
            ("shared", DependencyKind::Runtime, false),
            ("alpha", DependencyKind::Runtime, true),
        ]
    );
    assert_eq!(listed.packages[3].dependencies, [0, 1, 2]);
}
