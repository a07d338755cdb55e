//! The declarations in the repository are those that bindgen makes of the header.
use moe_sys_bindgen::{bindings, generate, header, libclang};

#[test]
fn declarations_are_those_of_the_header() {
    let Some(version) = libclang() else {
        println!("SKIPPED: libclang is absent (Debian: apt-get install libclang1); bindings.rs was not compared");
        return;
    };
    let expected = generate(&header()).unwrap();
    let found = std::fs::read_to_string(bindings()).unwrap();
    let different = expected.lines().zip(found.lines()).enumerate().find(|(_, (e, f))| e != f);
    if let Some((index, (expected, found))) = different {
        panic!(
            "bindings.rs:{}: expected `{expected}` ({version}), got `{found}`; run: cargo run -p moe-sys-bindgen",
            index + 1
        );
    }
    assert_eq!(expected.len(), found.len(), "bindings.rs has more or fewer lines; run: cargo run -p moe-sys-bindgen");
}

#[test]
fn a_changed_header_is_noticed() {
    if libclang().is_none() {
        println!("SKIPPED: libclang is absent");
        return;
    }
    let text = std::fs::read_to_string(header()).unwrap();
    let changed = text.replacen("int32_t micro_batches;", "int64_t micro_batches;", 1);
    assert_ne!(changed, text);
    let folder = std::env::temp_dir().join(format!("moe-drift-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("moe.h"), changed).unwrap();
    let source = generate(&folder.join("moe.h")).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_ne!(source, std::fs::read_to_string(bindings()).unwrap());
}
