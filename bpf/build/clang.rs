//! The call of clang.

use std::{env, path::Path, process::Command};

/// Compiles one program.
///
/// # Errors
/// A sentence that names the Debian package that is missing, or clang's own words.
pub(crate) fn compile(source: &Path, target: &Path) -> Result<(), String> {
    println!("cargo::rerun-if-env-changed=CLANG");
    let clang = env::var("CLANG").unwrap_or_else(|_| "clang".to_owned());
    if !Path::new("/usr/include/bpf/bpf_helpers.h").exists() {
        return Err(
            "bpf/bpf_helpers.h not found: install libbpf-dev (Debian: apt-get install libbpf-dev)".to_owned()
        );
    }
    let output = Command::new(&clang)
        .args(["-target", "bpf", "-mcpu=v3", "-g", "-O2", "-Wall", "-Wextra", "-Werror"])
        // The same object wherever the sources lie.
        .args(["-fdebug-compilation-dir=.", "-fno-ident"])
        .arg(format!("-I/usr/include/{}-linux-gnu", env::consts::ARCH))
        .arg("-c")
        .arg(source)
        .arg("-o")
        .arg(target)
        .output()
        .map_err(|e| {
            format!("run {clang}: {e}: install clang 14 or later (Debian: apt-get install clang libbpf-dev linux-libc-dev), or set CLANG")
        })?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    if words.contains("asm/types.h") {
        return Err("asm/types.h not found: install linux-libc-dev (Debian: apt-get install linux-libc-dev)"
            .to_owned());
    }
    eprintln!("{words}");
    Err(format!("{clang} refused {}: see its messages above", source.display()))
}
