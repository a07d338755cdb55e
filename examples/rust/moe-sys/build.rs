//! Finds libmoe, in this order: the folder `MOE_LIB_DIR`; the prefix `MOE_DIR`; pkg-config's package `moe`. Dependent
//! packages learn the folder as `DEP_MOE_LIBDIR`.
use std::env;
use std::path::{Path, PathBuf};

/// Binary interface that src/bindings.rs describes; `moe_abi_version()` is asked again when a program runs.
const ABI: &str = "0";

fn main() {
    for name in ["MOE_LIB_DIR", "MOE_DIR"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    // docs.rs and `cargo doc` on a machine without libmoe need no library.
    if env::var_os("DOCS_RS").is_some() {
        return;
    }
    match library_folder() {
        Ok(folder) => announce(&folder),
        Err(text) => {
            eprintln!("libmoe: {text}");
            std::process::exit(1);
        }
    }
}

fn library_folder() -> Result<PathBuf, String> {
    if let Some(folder) = env::var_os("MOE_LIB_DIR") {
        return with_library(&[PathBuf::from(folder)], "MOE_LIB_DIR");
    }
    if let Some(prefix) = env::var_os("MOE_DIR") {
        let prefix = PathBuf::from(prefix);
        let triplet = format!("lib/{}-linux-gnu", env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default());
        return with_library(&[prefix.join("lib"), prefix.join("lib64"), prefix.join(triplet)], "MOE_DIR");
    }
    by_pkg_config()
}

/// The first of the folders that holds libmoe.so.
fn with_library(folders: &[PathBuf], variable: &str) -> Result<PathBuf, String> {
    let found = folders.iter().find(|folder| folder.join("libmoe.so").exists());
    let looked_in = || folders.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(", ");
    found.cloned().ok_or_else(|| format!("expected libmoe.so where {variable} says, found none in {}", looked_in()))
}

fn by_pkg_config() -> Result<PathBuf, String> {
    let library = pkg_config::Config::new().cargo_metadata(false).probe("moe").map_err(|error| {
        let answer = error.to_string();
        let line = answer.lines().map(str::trim).find(|line| line.contains("moe.pc") || line.contains("not found"));
        format!(
            "expected pkg-config to know the package moe; set PKG_CONFIG_PATH=PREFIX/lib/pkgconfig, MOE_DIR=PREFIX or \
             MOE_LIB_DIR=the folder of libmoe.so (pkg-config: {})",
            line.unwrap_or("no answer")
        )
    })?;
    if let Ok(abi) = pkg_config::get_variable("moe", "abi_version") {
        if !abi.is_empty() && abi != ABI {
            return Err(format!(
                "expected a library with ABI {ABI}, pkg-config found {} with ABI {abi}",
                library.version
            ));
        }
    }
    match library.link_paths.first() {
        Some(folder) => Ok(folder.clone()),
        None => pkg_config::get_variable("moe", "libdir").map(PathBuf::from).map_err(|error| error.to_string()),
    }
}

fn announce(folder: &Path) {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    println!("cargo:rustc-link-lib=dylib=moe");
    println!("cargo:rustc-link-search=native={}", folder.display());
    println!("cargo:libdir={}", folder.display());
    println!("cargo:rustc-link-arg=-Wl,--enable-new-dtags,-rpath,{}", folder.display());
}
