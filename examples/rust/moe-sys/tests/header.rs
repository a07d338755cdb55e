//! The declarations against moe.h read as text: every function with its types, every constant, every struct member in
//! order. Needs no libclang, unlike the comparison with what bindgen writes (`bindgen/tests/drift.rs`).
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Name -> what is declared, in Rust's notation without spaces.
type Declarations = BTreeMap<String, String>;

fn header() -> String {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = std::env::var_os("MOE_HEADER").map_or_else(|| here.join("../../../include/moe.h"), PathBuf::from);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    without_comments(&text)
}

fn bindings() -> String {
    include_str!("../src/bindings.rs").replace("::core::ffi::", "")
}

fn without_comments(text: &str) -> String {
    let mut parts = text.split("/*");
    let mut out = parts.next().unwrap_or("").to_owned();
    for part in parts {
        out += part.split_once("*/").map_or("", |(_, code)| code);
    }
    out
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}

/// "const char *const *paths" -> ("paths", "*const*constc_char"); "char name[16][32]" -> ("name", "[[c_char;32usize];16usize]").
fn rust_declaration(c: &str) -> (String, String) {
    let mut parts = c.split('[');
    let (head, lengths) = (parts.next().unwrap_or(""), parts.filter_map(|part| part.split(']').next()));
    let head = head.replace('*', " * ").replace("struct ", "");
    let mut words: Vec<&str> = head.split_whitespace().collect();
    let name = words.pop().unwrap_or("");
    let base = words.iter().find(|word| !["const", "*"].contains(*word)).copied().unwrap_or("");
    // `const T *const *` and `const T *` point at constants on every level; `T **` on none.
    let star = if words.first() == Some(&"const") { "*const" } else { "*mut" };
    let stars = words.iter().filter(|word| **word == "*").count();
    let element = star.repeat(stars) + rust_type(base);
    let lengths: Vec<&str> = lengths.collect();
    let array = |inner, length: &&str| format!("[{inner};{length}usize]");
    (name.to_owned(), lengths.iter().rev().fold(element, array))
}

fn rust_type(c: &str) -> &str {
    match c {
        "int32_t" => "i32",
        "uint32_t" => "u32",
        "int64_t" => "i64",
        "uint64_t" => "u64",
        "size_t" => "usize",
        "double" => "f64",
        "char" => "c_char",
        "void" => "c_void",
        other => other,
    }
}

fn header_functions(text: &str) -> Declarations {
    let mut found = Declarations::new();
    let statements = text.split("MOE_API ").skip(1).filter(|statement| !statement.starts_with("__attribute__"));
    for statement in statements {
        let statement = statement.split(';').next().unwrap_or("");
        let Some((head, parameters)) = statement.split_once('(') else { continue };
        let (name, result) = rust_declaration(head);
        let parameters = parameters.trim_end().trim_end_matches(')').split(',').map(str::trim);
        let parameters: Vec<_> = parameters
            .filter(|parameter| *parameter != "void")
            .map(rust_declaration)
            .map(|(name, kind)| format!("{name}:{kind}"))
            .collect();
        let result = if result == "c_void" { String::new() } else { format!("->{result}") };
        found.insert(name, format!("({}){result}", parameters.join(",")));
    }
    found
}

fn our_functions(text: &str) -> Declarations {
    let functions = text.split("pub fn ").skip(1).filter_map(|rest| rest.split(';').next());
    let split = |function: &str| {
        let squeezed = squeezed(function).replace(",)", ")");
        let open = squeezed.find('(').unwrap_or(0);
        (squeezed[..open].to_owned(), squeezed[open..].to_owned())
    };
    functions.map(split).collect()
}

/// Enum members and numeric macros.
fn header_constants(text: &str) -> Declarations {
    let mut found = Declarations::new();
    for body in text.split("enum {").skip(1).filter_map(|rest| rest.split('}').next()) {
        for (name, value) in body.split(',').filter_map(|member| member.split_once('=')) {
            found.insert(name.trim().to_owned(), number(value.trim()));
        }
    }
    for line in text.lines().filter_map(|line| line.strip_prefix("#define ")) {
        let mut words = line.split_whitespace();
        if let (Some(name), Some(value), None) = (words.next(), words.next(), words.next()) {
            if value.parse::<i64>().is_ok() {
                found.insert(name.to_owned(), number(value));
            }
        }
    }
    found
}

fn number(text: &str) -> String {
    let value = match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    value.unwrap_or_else(|_| panic!("expected a number, got {text}")).to_string()
}

fn our_constants(text: &str) -> Declarations {
    let constants = text.split("pub const ").skip(1).filter_map(|rest| rest.split(';').next());
    let split = |constant: &str| {
        let (name, value) = constant.split_once(": i32 =").expect("expected a constant of type i32");
        (name.to_owned(), value.trim().to_owned())
    };
    constants.map(split).collect()
}

fn header_structs(text: &str) -> Declarations {
    let mut found = Declarations::new();
    for rest in text.split("typedef struct ").skip(1) {
        let Some((head, body)) = rest.split_once('{') else { continue };
        if head.contains(';') {
            continue; // an opaque handle
        }
        let body = body.split('}').next().unwrap_or("");
        let members = body.split(';').filter(|member| !member.trim().is_empty()).map(rust_declaration);
        let members: Vec<_> = members.map(|(name, kind)| format!("{name}:{kind}")).collect();
        found.insert(head.trim().to_owned(), members.join(","));
    }
    found
}

fn our_structs(text: &str) -> Declarations {
    let mut found = Declarations::new();
    for rest in text.split("pub struct ").skip(1) {
        let (name, body) = rest.split_once('{').unwrap_or((rest, ""));
        let body = squeezed(body.split('}').next().unwrap_or("")).replace("pub", "");
        if !body.starts_with("_unused") {
            found.insert(name.trim().to_owned(), body.trim_end_matches(',').to_owned());
        }
    }
    found
}

#[track_caller]
fn expect_same(kind: &str, least: usize, header: &Declarations, ours: &Declarations) {
    assert!(header.len() >= least, "expected at least {least} {kind}s in moe.h, found {}", header.len());
    for name in header.keys().chain(ours.keys()) {
        let (wanted, found) = (header.get(name), ours.get(name));
        assert_eq!(wanted, found, "{kind} {name}: moe.h on the left, bindings.rs on the right");
    }
}

#[test]
fn functions_are_those_of_the_header() {
    expect_same("function", 60, &header_functions(&header()), &our_functions(&bindings()));
}

#[test]
fn constants_are_those_of_the_header() {
    let mut ours = our_constants(&bindings());
    let version = ours.remove("MOE_VERSION").expect("MOE_VERSION is a sum, which this test computes itself");
    let part = |name: &str| ours[name].parse::<i32>().unwrap();
    let (major, minor, patch) = (part("MOE_VERSION_MAJOR"), part("MOE_VERSION_MINOR"), part("MOE_VERSION_PATCH"));
    assert_eq!(version, (major * 10000 + minor * 100 + patch).to_string());
    expect_same("constant", 50, &header_constants(&header()), &ours);
}

#[test]
fn structs_have_the_members_of_the_header() {
    expect_same("struct", 12, &header_structs(&header()), &our_structs(&bindings()));
}

#[test]
fn a_difference_is_noticed() {
    let text = header();
    let changed = text.replacen("int32_t threads);", "int64_t threads);", 1);
    assert_ne!(header_functions(&changed), our_functions(&bindings()));
    let changed = text.replacen("MOE_ERR_IO = 5", "MOE_ERR_IO = 6", 1);
    assert_ne!(header_constants(&changed), header_constants(&text));
    let changed = text.replacen("  int32_t line;", "  int32_t column2;\n  int32_t line;", 1);
    assert_ne!(header_structs(&changed), our_structs(&bindings()));
}
