//! Writes the declarations of `moe-sys` from `moe.h`. Needs libclang (Debian: `libclang1`) and, for `stddef.h`, the C
//! compiler `cc`.
use bindgen::callbacks::{IntKind, ParseCallbacks};
use std::path::{Path, PathBuf};
use std::process::Command;

const HEAD: &str = "// Written by `cargo run -p moe-sys-bindgen` from moe.h, whose comments are the manual.\n\n";

/// `moe.h`: the environment variable `MOE_HEADER`, else that of this source tree.
pub fn header() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::env::var_os("MOE_HEADER").map_or_else(|| here.join("../../../include/moe.h"), PathBuf::from)
}

/// `src/bindings.rs` of `moe-sys`.
pub fn bindings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../moe-sys/src/bindings.rs")
}

/// Version of libclang, or `None` where there is none.
pub fn libclang() -> Option<String> {
    let silent = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {})); // bindgen panics where libclang is absent
    let version = std::panic::catch_unwind(bindgen::clang_version);
    std::panic::set_hook(silent);
    version.ok().map(|found| found.full)
}

/// The declarations for this header, as Rust source.
pub fn generate(header: &Path) -> Result<String, String> {
    let bindings = bindgen::Builder::default()
        .header(header.to_string_lossy())
        .clang_args(["-isystem", &compiler_headers()?])
        .allowlist_item("(moe|MOE)_.*")
        .parse_callbacks(Box::new(SignedConstants))
        .derive_default(true)
        .generate_comments(false)
        .merge_extern_blocks(true)
        .formatter(bindgen::Formatter::Prettyplease)
        .use_core()
        .disable_header_comment()
        .rust_target(oldest_rust()?)
        .rust_edition(bindgen::RustEdition::Edition2024)
        .generate()
        .map_err(|error| format!("{}: {error}", header.display()))?;
    Ok(HEAD.to_owned() + &sign_enums(&bindings.to_string()))
}

/// `rust-version` of the workspace.
fn oldest_rust() -> Result<bindgen::RustTarget, String> {
    bindgen::RustTarget::stable(85, 0).map_err(|error| error.to_string())
}

/// The folder of the C compiler's own headers; libclang comes without.
fn compiler_headers() -> Result<String, String> {
    let answer = Command::new("cc").arg("-print-file-name=include").output();
    let answer = answer.map_err(|error| format!("expected a C compiler named cc, got: {error}"))?;
    Ok(String::from_utf8_lossy(&answer.stdout).trim().to_owned())
}

/// The constants of moe.h are int32_t in every signature; bindgen would make macros u32.
#[derive(Debug)]
struct SignedConstants;

impl ParseCallbacks for SignedConstants {
    fn int_macro(&self, _name: &str, _value: i64) -> Option<IntKind> {
        Some(IntKind::I32)
    }
}

/// The same for the constants of its anonymous enums, which bindgen gives the unsigned type `_bindgen_ty_N`.
fn sign_enums(source: &str) -> String {
    let mut out = String::new();
    for line in source.lines().filter(|line| !line.starts_with("pub type _bindgen_ty_")) {
        match line.split_once(": _bindgen_ty_") {
            Some((name, rest)) => {
                out += &format!("{name}: i32 ={}", rest.split_once('=').map_or("", |(_, value)| value))
            }
            None => out += line,
        }
        out.push('\n');
    }
    out
}
