//! Writes shared structures as Rust.

use crate::btf::{Type, Types};
use std::fmt::Write as _;

/// The structures called `wanted`, with their layout asserted at compile time.
///
/// # Errors
/// When one of them is not in the object, or holds something else than unsigned integers, arrays and structures.
pub(crate) fn render(types: &Types, wanted: &[&str]) -> Result<String, String> {
    let mut text = String::new();
    for name in wanted {
        let Some(Type::Struct { bytes, members, .. }) = types.structure(name) else {
            return Err(format!("struct {name} is not in the object: does a map of it use it?"));
        };
        let rust_name = camel(name);
        let mut layout = format!("    assert!(size_of::<{rust_name}>() == {bytes});\n");
        let mut fields = Vec::new();
        let _ = writeln!(text, "/// `struct {name}` of the program.\n#[repr(C)]");
        let _ = writeln!(
            text,
            "#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]\npub struct {rust_name} {{"
        );
        for member in members {
            let field = &member.name;
            let rust_type = rust_type(types, member.of)
                .ok_or_else(|| format!("struct {name}: {field} has no Rust type"))?;
            let _ = writeln!(text, "    /// See the program's header.\n    pub {field}: {rust_type},");
            let _ = writeln!(
                layout,
                "    assert!(std::mem::offset_of!({rust_name}, {field}) == {});",
                member.offset_bytes
            );
            fields.push(format!("\"{field}\""));
        }
        let _ = writeln!(text, "}}\n\nconst _: () = {{\n{layout}}};\n");
        let _ = writeln!(text, "impl {rust_name} {{\n    /// The members' names, in order.");
        let _ = writeln!(
            text,
            "    pub const FIELDS: [&'static str; {}] = [{}];\n}}\n",
            fields.len(),
            fields.join(", ")
        );
        let _ = writeln!(
            text,
            "// SAFETY: made of unsigned integers alone, without padding: its members' sizes add up to its own.\n\
             #[allow(unsafe_code, reason = \"aya's marker for values that a map may hold\")]\n\
             unsafe impl aya::Pod for {rust_name} {{}}\n"
        );
        let sum: u32 = members.iter().filter_map(|m| size(types, m.of)).sum();
        if sum != *bytes {
            return Err(format!(
                "struct {name} has padding: name it, so that no uninitialised byte reaches the kernel"
            ));
        }
    }
    Ok(text)
}

fn rust_type(types: &Types, id: u32) -> Option<String> {
    match types.get(id) {
        Type::Int { bytes } => Some(format!("u{}", bytes * 8)),
        Type::Alias { of } => rust_type(types, *of),
        Type::Array { of, length } => Some(format!("[{}; {length}]", rust_type(types, *of)?)),
        Type::Struct { name, .. } => Some(camel(name)),
        Type::Other => None,
    }
}

fn size(types: &Types, id: u32) -> Option<u32> {
    match types.get(id) {
        Type::Int { bytes } | Type::Struct { bytes, .. } => Some(*bytes),
        Type::Alias { of } => size(types, *of),
        Type::Array { of, length } => Some(size(types, *of)? * length),
        Type::Other => None,
    }
}

/// `guard_entry` as `Entry`: the module has the object's name already.
fn camel(name: &str) -> String {
    let stem = name.split_once('_').map_or(name, |(_, stem)| stem);
    stem.split('_').map(|part| part[..1].to_uppercase() + &part[1..]).collect()
}
