//! Tests and examples find libmoe where it was linked, and bind its functions when they are called: a library that lacks
//! one is an error value of the first call. A program of your own is linked as you like: see docs/rust.md.
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg=-Wl,-z,lazy");
    if let Ok(folder) = std::env::var("DEP_MOE_LIBDIR") {
        println!("cargo:rustc-link-arg=-Wl,--enable-new-dtags,-rpath,{folder}");
    }
}
