//! Lists `assets/` as Rust, for embedding: paths and contents only, in the order of the paths, so that
//! the same files give the same binary. A new file is seen, which macros that embed folders miss.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=assets");
    let root = Path::new("assets");
    let mut files = Vec::new();
    collect(root, &mut files)?;
    let mut paths: Vec<String> = files
        .iter()
        .filter_map(|file| Some(file.strip_prefix(root).ok()?.to_str()?.replace('\\', "/")))
        .collect();
    paths.sort();

    let line = |path: &String| {
        format!(
            "({path:?}, include_bytes!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/assets/{path}\"))),\n"
        )
    };
    let table = format!("&[\n{}]", paths.iter().map(line).collect::<String>());
    let out = env::var_os("OUT_DIR")
        .map(PathBuf::from)
        .unwrap_or_default();
    fs::write(out.join("assets.rs"), table)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
