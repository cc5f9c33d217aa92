//! Compiles the in-kernel programs, and writes the Rust side of what they share with us from their own type
//! information, so that no structure is described twice.

#![allow(clippy::print_stdout, reason = "cargo reads what a build script prints")]

mod btf;
mod clang;
mod rust_types;

use std::{env, fs, path::PathBuf, process::ExitCode};

/// An object of `programs/`, and the structures that user space reads and writes.
struct Object {
    name: &'static str,
    shared: &'static [&'static str],
}

const OBJECTS: &[Object] = &[
    Object {
        name: "guard",
        shared: &[
            "guard_rate",
            "guard_ipv6",
            "guard_entry",
            "guard_buckets",
            "guard_dropped",
            "guard_counters",
        ],
    },
    Object {
        name: "reflector",
        shared: &[
            "reflector_endpoint",
            "reflector_group",
            "reflector_flows_key",
            "reflector_flow_key",
            "reflector_flow",
            "reflector_fragment_key",
            "reflector_course",
            "reflector_counters_key",
            "reflector_counters",
        ],
    },
    // Shares nothing: a constant is set by its name.
    Object { name: "steer", shared: &[] },
];

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=programs");
    println!("cargo::rerun-if-changed=build");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    for object in OBJECTS {
        if let Err(error) = build(object, &out) {
            println!("cargo::error={error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn build(object: &Object, out: &std::path::Path) -> Result<(), String> {
    let source = PathBuf::from(format!("programs/{}.bpf.c", object.name));
    let target = out.join(format!("{}.bpf.o", object.name));
    clang::compile(&source, &target)?;
    let bytes = fs::read(&target).map_err(|e| format!("read {}: {e}", target.display()))?;
    let types = btf::Types::of_object(&bytes).map_err(|e| format!("{}: {e}", target.display()))?;
    let mut text = rust_types::render(&types, object.shared)?;
    let layout = fnv1a(text.as_bytes());
    text.push_str(&format!(
        "/// Tells layouts of the shared types apart.\npub const LAYOUT: &str = \"{layout:016x}\";\n\n"
    ));
    text.push_str(&format!(
        "/// Tells builds of the object apart.\npub const VERSION: &str = \"{:016x}\";\n",
        fnv1a(&bytes)
    ));
    let rust = out.join(format!("{}_types.rs", object.name));
    fs::write(&rust, text).map_err(|e| format!("write {}: {e}", rust.display()))
}

/// FNV-1a, 64 bits: the same on every machine and release, which the standard library's hasher does not promise.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
