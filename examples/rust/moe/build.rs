//! Tests and examples find libmoe where it was linked. A program of your own is linked as you like: see docs/rust.md.
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if let Ok(folder) = std::env::var("DEP_MOE_LIBDIR") {
        println!("cargo:rustc-link-arg=-Wl,--enable-new-dtags,-rpath,{folder}");
    }
}
