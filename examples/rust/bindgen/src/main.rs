//! Writes `moe-sys/src/bindings.rs` anew.
use std::process::ExitCode;

fn main() -> ExitCode {
    let written = moe_sys_bindgen::generate(&moe_sys_bindgen::header())
        .and_then(|source| std::fs::write(moe_sys_bindgen::bindings(), source).map_err(|error| error.to_string()));
    if let Err(text) = written {
        eprintln!("{text}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
