//! Debian packages of this host, as they are installed on it: every file with its owner, and what the package's
//! scripts have added where that is needed to run. No script of a package is run for a guest.

use super::{
    cpio::Archive,
    library::{self, LibraryError},
};
use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
};

/// Where nothing lies that a program needs to run.
const LEFT_OUT: &[&str] = &[
    "/usr/share/doc/",
    "/usr/share/doc-base/",
    "/usr/share/man/",
    "/usr/share/info/",
    "/usr/share/locale/",
    "/usr/share/lintian/",
    "/usr/share/bug/",
    "/usr/share/vim/",
    "/usr/share/postgresql-common/",
    "/usr/include/",
    "/lib/systemd/",
    "/usr/lib/systemd/",
    "/etc/init.d/",
    "/etc/cron",
    "/etc/logrotate.d/",
];
/// PostgreSQL's compiler at run time: it is off for small queries, and brings all of LLVM.
const LEFT_OUT_PARTS: &[&str] = &["/bitcode/", "/llvmjit"];

/// What kept a package from being copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// dpkg-query does not run.
    #[error("ask dpkg-query for package {package}")]
    Query {
        /// As the builder was told.
        package: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no such package on this host.
    #[error(
        "package {package} was asked for in the guest, and is not installed on this host: apt-get install it"
    )]
    NotInstalled {
        /// As the builder was told.
        package: String,
    },
    /// A file could not be copied.
    #[error("copy {path} of package {package} into the guest's image")]
    Copy {
        /// The package.
        package: String,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A program of it does not run.
    #[error("collect the libraries of package {package}")]
    Library {
        /// The package.
        package: String,
        /// Why.
        #[source]
        source: LibraryError,
    },
}

/// Adds the installed packages whose names match `pattern`, as dpkg-query reads it ("libpython3*-stdlib").
pub(super) fn add<W: io::Write>(archive: &mut Archive<W>, pattern: &str) -> Result<(), PackageError> {
    for package in installed(pattern)? {
        let listed = query(pattern, &["--listfiles", &package])?;
        let is_wanted = |line: &&str| line.starts_with('/') && (package == "systemd" || is_needed(line));
        let listed = listed.lines().filter(is_wanted).map(PathBuf::from);
        // What this host has excluded from packages is missed by nobody here either.
        let mut paths: Vec<PathBuf> = listed.filter(|path| path.symlink_metadata().is_ok()).collect();
        let made: Vec<PathBuf> = paths.iter().flat_map(|path| made_by_scripts(path, &paths)).collect();
        paths.extend(made);
        let programs: Vec<PathBuf> = paths.iter().filter(|path| is_elf(path)).cloned().collect();
        let libraries = library::of_all(&programs)
            .map_err(|source| PackageError::Library { package: package.clone(), source })?;
        for path in &paths {
            copy(archive, &package, path, path)?;
        }
        for path in libraries {
            // Under the name that it is looked for by, which may be a link here.
            let real = path.canonicalize().unwrap_or_else(|_| path.clone());
            copy(archive, &package, &path, &real)?;
        }
    }
    Ok(())
}

fn copy<W: io::Write>(
    archive: &mut Archive<W>,
    package: &str,
    path: &Path,
    from: &Path,
) -> Result<(), PackageError> {
    let to = in_guest(&path.to_string_lossy());
    if to.is_empty() {
        return Ok(());
    }
    archive.copy(&to, from).map_err(|source| PackageError::Copy {
        package: package.to_owned(),
        path: path.to_owned(),
        source,
    })
}

/// What dpkg itself must find to work in a guest: that the packages with these names are installed there.
pub(super) fn database<W: io::Write>(
    archive: &mut Archive<W>,
    patterns: &[String],
) -> Result<(), PackageError> {
    let mut status = String::new();
    for pattern in patterns {
        for package in installed(pattern)? {
            status.push_str(&query(pattern, &["--status", &package])?);
            status.push('\n');
            let list = query(pattern, &["--listfiles", &package])?;
            write(archive, &format!("var/lib/dpkg/info/{package}.list"), &list)?;
        }
    }
    write(archive, "var/lib/dpkg/status", &status)?;
    write(archive, "var/lib/dpkg/info/format", "1\n")?;
    for dir in
        ["var/lib/dpkg/updates", "var/lib/dpkg/triggers", "var/lib/dpkg/alternatives", "etc/alternatives"]
    {
        archive.directory(dir).map_err(|source| failed(dir, source))?;
    }
    Ok(())
}

fn write<W: io::Write>(archive: &mut Archive<W>, path: &str, text: &str) -> Result<(), PackageError> {
    archive.file(path, 0o644, text.as_bytes()).map_err(|source| failed(path, source))
}

fn failed(path: &str, source: io::Error) -> PackageError {
    PackageError::Copy { package: "dpkg".to_owned(), path: path.into(), source }
}

/// The names of the installed packages that match.
fn installed(pattern: &str) -> Result<Vec<String>, PackageError> {
    let told = query(pattern, &["--show", "--showformat=${db:Status-Abbrev}|${Package}\\n", pattern])?;
    let names = told.lines().filter_map(|line| line.strip_prefix("ii ")?.strip_prefix('|'));
    let names: Vec<String> = names.map(ToOwned::to_owned).collect();
    if names.is_empty() {
        return Err(PackageError::NotInstalled { package: pattern.to_owned() });
    }
    Ok(names)
}

/// What dpkg-query answers; nothing where it knows no such package.
fn query(pattern: &str, words: &[&str]) -> Result<String, PackageError> {
    let output = Command::new("dpkg-query")
        .args(words)
        .output()
        .map_err(|source| PackageError::Query { package: pattern.to_owned(), source })?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn is_needed(path: &str) -> bool {
    let is_below = |dir: &str| path.starts_with(dir) || path == dir.trim_end_matches('/');
    !LEFT_OUT.iter().any(|dir| is_below(dir)) && !LEFT_OUT_PARTS.iter().any(|part| path.contains(part))
}

/// What a package's scripts have put into a directory of its own: links in /etc by which one of its files is switched
/// on, and Python's compiled modules.
fn made_by_scripts(dir: &Path, package: &[PathBuf]) -> Vec<PathBuf> {
    let is_enabling = |path: &Path| {
        dir.starts_with("/etc")
            && path.is_symlink()
            && path.canonicalize().is_ok_and(|to| package.contains(&to))
    };
    let is_compiled = |path: &Path| path.ends_with("__pycache__");
    let entries = |dir: &Path| {
        let found = if dir.is_symlink() { None } else { std::fs::read_dir(dir).ok() };
        found.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
    };
    let made: Vec<PathBuf> = entries(dir).filter(|path| is_enabling(path) || is_compiled(path)).collect();
    made.iter().flat_map(|path| std::iter::once(path.clone()).chain(entries(path))).collect()
}

fn is_elf(path: &Path) -> bool {
    use std::io::Read as _;
    let mut magic = [0; 4];
    let is_file = path.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
    is_file
        && std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
        && &magic == b"\x7fELF"
}

/// In the guest /bin, /sbin, /lib and /lib64 are links into /usr: an entry goes to where it really lies.
fn in_guest(path: &str) -> String {
    let path = path.trim_start_matches('/').trim_start_matches("./");
    let first = path.split('/').next().unwrap_or_default();
    match first {
        "." => String::new(),
        // The links themselves are there already.
        "bin" | "sbin" | "lib" | "lib64" if first.len() == path.len() => String::new(),
        "bin" | "sbin" | "lib" | "lib64" => format!("usr/{path}"),
        _ => path.to_owned(),
    }
}

/// The guest's `file`, "/etc/passwd" or "/etc/group": root and nobody; with packages also those of this host whose
/// number is that of a service, which packages' scripts have made.
pub(super) fn accounts(file: &str, with_packages: bool) -> io::Result<String> {
    let mut accounts = match file {
        "/etc/passwd" => {
            String::from("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
        }
        _ => String::from("root:x:0:\nnogroup:x:65534:\n"),
    };
    let hosts = if with_packages { std::fs::read_to_string(file)? } else { String::new() };
    for line in hosts.lines() {
        let number = line.split(':').nth(2).and_then(|number| number.parse::<u32>().ok());
        if number.is_some_and(|number| (1..1000).contains(&number)) {
            accounts.push_str(line);
            accounts.push('\n');
        }
    }
    Ok(accounts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_and_the_run_time_compiler_stay_behind() {
        assert!(!is_needed("/usr/share/doc/nginx/copyright") && !is_needed("/usr/share/man"));
        assert!(!is_needed("/usr/lib/postgresql/15/lib/llvmjit.so"));
        assert!(!is_needed("/usr/lib/postgresql/15/lib/bitcode/hstore/hstore.bc"));
        assert!(is_needed("/usr/share/nginx/html/index.html") && is_needed("/etc/redis/redis.conf"));
    }

    #[test]
    fn entries_go_to_where_the_guests_links_lead() {
        let cases =
            [("/.", ""), ("/lib", ""), ("/lib/x/y.so", "usr/lib/x/y.so"), ("/etc/nginx", "etc/nginx")];
        for (path, to) in cases {
            assert_eq!(in_guest(path), to);
        }
    }

    #[test]
    fn a_package_that_is_not_installed_is_named() {
        let error = installed("no-such-package-anywhere*").unwrap_err();
        assert!(error.to_string().contains("no-such-package-anywhere*"), "{error}");
        assert_eq!(installed("dpk[g]").unwrap(), ["dpkg"]);
    }

    #[test]
    fn a_package_is_copied_with_its_libraries() {
        let mut archive = Archive::new(Vec::new());
        add(&mut archive, "dpkg").unwrap();
        assert!(archive.contains("usr/bin/dpkg-query") && archive.contains("usr/lib64/ld-linux-x86-64.so.2"));
        assert!(!archive.contains("usr/share/doc/dpkg"));
    }

    #[test]
    fn dpkg_is_told_what_is_installed() {
        let mut archive = Archive::new(Vec::new());
        database(&mut archive, &["dpkg".to_owned(), "tar".to_owned()]).unwrap();
        for path in ["status", "info/dpkg.list", "info/tar.list", "updates"] {
            assert!(archive.contains(&format!("var/lib/dpkg/{path}")), "{path}");
        }
    }
}
