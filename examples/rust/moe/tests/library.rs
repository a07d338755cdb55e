//! A library that does not fit: the first call says so, and no other function of it is called. Each case runs this
//! program again with another libmoe.so.0 in front.
mod common;

use common::Folder;
use std::path::Path;
use std::process::{Command, Output};

/// What a child process does: the first call of a program, and one without a handle.
#[test]
fn first_call() {
    if std::env::var_os("MOE_TEST_CHILD").is_none() {
        return;
    }
    println!("{:?}", moe::Config::parse("task: rtdetr").map(|_| "a config"));
    println!("{:?}", moe::build_info());
}

fn run_with(libraries: &Path) -> Output {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "first_call", "--nocapture"]).env("MOE_TEST_CHILD", "1");
    child.env("LD_LIBRARY_PATH", libraries).output().unwrap()
}

/// Names of all functions of moe.h.
fn functions() -> impl Iterator<Item = &'static str> {
    let declarations = include_str!("../../moe-sys/src/bindings.rs");
    declarations.split("pub fn ").skip(1).filter_map(|rest| rest.split('(').next())
}

/// A libmoe.so.0 with nothing but the functions that tell its version.
fn build_library(folder: &Path, abi: i32, version: i32) {
    let mut source =
        format!("int moe_abi_version(void) {{ return {abi}; }}\nint moe_version(void) {{ return {version}; }}\n");
    source += "const char *moe_version_string(void) { return \"of a test\"; }\n";
    std::fs::write(folder.join("stub.c"), source).unwrap();
    std::fs::write(folder.join("stub.map"), "MOE_0 { global: moe_*; local: *; };\n").unwrap();
    let mut cc = Command::new("cc");
    cc.args([
        "-shared",
        "-fPIC",
        "-Wl,-soname,libmoe.so.0",
        "-Wl,--version-script=stub.map",
        "stub.c",
        "-o",
        "libmoe.so.0",
    ]);
    assert!(cc.current_dir(folder).status().unwrap().success());
}

#[track_caller]
fn expect_refusal(abi: i32, version: i32) {
    let folder = Folder::new();
    build_library(folder.path(), abi, version);
    let output = run_with(folder.path());
    let text = String::from_utf8_lossy(&output.stdout);
    let line = format!(
        "Err(Version: libmoe: expected ABI {}, version {} or later, got ABI {abi}, version of a test)",
        moe_sys::MOE_ABI,
        moe::version()
    );
    assert_eq!(text.matches(&line).count(), 2, "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success());
}

#[test]
fn another_abi_is_refused() {
    expect_refusal(moe_sys::MOE_ABI + 1, moe_sys::MOE_VERSION);
}

#[test]
fn an_older_version_is_refused() {
    expect_refusal(moe_sys::MOE_ABI, moe_sys::MOE_VERSION - 1);
}

#[test]
fn every_function_is_reached_by_the_crate() {
    // `sized()` of moe-sys takes the place of the first two; Status prints its own names.
    let needless = ["moe_tensor_view_init", "moe_step_info_init", "moe_status_name"];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = std::fs::read_dir(folder).unwrap().map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let source: String = files.collect();
    for name in functions().filter(|name| !needless.contains(name)) {
        assert!(source.contains(&format!("sys::{name}(")), "expected a safe function over {name}, found none");
    }
}

/// The library is linked, so without it no program starts: the system says which file is wrong and exits.
#[test]
fn a_file_that_is_no_library_ends_the_start_with_a_line() {
    let folder = Folder::new();
    std::fs::write(folder.path().join("libmoe.so.0"), "").unwrap();
    let output = run_with(folder.path());
    assert_eq!(output.status.code(), Some(127));
    assert!(String::from_utf8_lossy(&output.stderr).contains("libmoe.so.0"));
}
