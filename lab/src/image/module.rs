//! Kernel modules, in the order in which they can be loaded.
//!
//! Debian's package holds no `modules.dep` (depmod writes it at installation), but every module names what it needs
//! in its own `.modinfo` section.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    process::Command,
};

/// What kept a module from being found or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModuleError {
    /// The tree of modules could not be walked.
    #[error("list the kernel modules in {path}")]
    List {
        /// Directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A module could not be read.
    #[error("read kernel module {path}")]
    Read {
        /// File.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Compressed modules need the decompressor.
    #[error("unpack kernel module {path} with xz: {status} (apt-get install xz-utils)")]
    Unpack {
        /// File.
        path: PathBuf,
        /// How xz ended.
        status: std::process::ExitStatus,
    },
    /// A module needs one that is not there.
    #[error("kernel module {needed}, which {by} needs, is not in the kernel package")]
    Missing {
        /// The one that is not there.
        needed: String,
        /// Who needs it.
        by: String,
    },
}

/// A module that is loaded after all before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// With '_' for '-', as the kernel writes it.
    pub name: String,
    /// The ELF file, uncompressed.
    pub content: Vec<u8>,
}

/// All modules of one kernel, by name.
#[derive(Debug)]
pub struct Tree {
    files: BTreeMap<String, PathBuf>,
}

impl Tree {
    /// Finds the modules below `root`.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub fn scan(root: &Path) -> Result<Self, ModuleError> {
        let mut files = BTreeMap::new();
        let mut open = vec![root.to_owned()];
        while let Some(dir) = open.pop() {
            let list = |source| ModuleError::List { path: dir.clone(), source };
            for entry in std::fs::read_dir(&dir).map_err(list)? {
                let entry = entry.map_err(list)?;
                let path = entry.path();
                if entry.file_type().map_err(list)?.is_dir() {
                    open.push(path);
                } else if let Some(name) = module_name(&path) {
                    files.insert(name, path);
                }
            }
        }
        Ok(Self { files })
    }

    /// Reads the modules called `wanted` and all they need, each after what it needs. A wanted module that this kernel
    /// does not have is left out: it is built in, or the kernel was built without.
    ///
    /// # Errors
    /// When a module cannot be read, or needs one that is not there.
    pub fn load_order(&self, wanted: &[&str]) -> Result<Vec<Module>, ModuleError> {
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        for name in wanted {
            let name = name.replace('-', "_");
            if self.files.contains_key(&name) {
                self.visit(&name, "the lab", &mut seen, &mut order)?;
            }
        }
        Ok(order)
    }

    fn visit(
        &self,
        name: &str,
        by: &str,
        seen: &mut BTreeSet<String>,
        order: &mut Vec<Module>,
    ) -> Result<(), ModuleError> {
        if !seen.insert(name.to_owned()) {
            return Ok(());
        }
        let path = self
            .files
            .get(name)
            .ok_or_else(|| ModuleError::Missing { needed: name.to_owned(), by: by.to_owned() })?;
        let content = read(path)?;
        for needed in dependencies(&content) {
            self.visit(&needed, name, seen, order)?;
        }
        order.push(Module { name: name.to_owned(), content });
        Ok(())
    }
}

fn module_name(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    let stem = file.strip_suffix(".ko").or_else(|| file.strip_suffix(".ko.xz"))?;
    Some(stem.replace('-', "_"))
}

fn read(path: &Path) -> Result<Vec<u8>, ModuleError> {
    let failed = |source| ModuleError::Read { path: path.to_owned(), source };
    if path.extension().is_some_and(|e| e == "xz") {
        let output = Command::new("xz").arg("-dc").arg(path).output().map_err(failed)?;
        if !output.status.success() {
            return Err(ModuleError::Unpack { path: path.to_owned(), status: output.status });
        }
        return Ok(output.stdout);
    }
    std::fs::read(path).map_err(failed)
}

/// The names in `depends=` of the `.modinfo` section (scripts/mod/modpost.c writes one such string per module).
fn dependencies(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|w| w == KEY) else { return Vec::new() };
    let value = module[at + KEY.len()..].split(|&b| b == 0).next().unwrap_or_default();
    String::from_utf8_lossy(value).split(',').filter(|n| !n.is_empty()).map(|n| n.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(modules: &[(&str, &str)]) -> (tempfile::TempDir, Tree) {
        let dir = tempfile::tempdir().unwrap();
        for (file, depends) in modules {
            let path = dir.path().join("kernel/net").join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, format!("\x7fELF\0license=GPL\0depends={depends}\0name=x\0")).unwrap();
        }
        let tree = Tree::scan(dir.path()).unwrap();
        (dir, tree)
    }

    fn names(modules: &[Module]) -> Vec<&str> {
        modules.iter().map(|m| m.name.as_str()).collect()
    }

    #[test]
    fn what_is_needed_comes_first_and_once() {
        let (_dir, tree) = tree(&[
            ("virtio_net.ko", "net_failover,virtio"),
            ("net_failover.ko", "failover"),
            ("failover.ko", ""),
            ("virtio.ko", ""),
            ("nf-x.ko", "virtio"),
        ]);
        let order = tree.load_order(&["virtio_net", "nf-x", "built_in", "failover"]).unwrap();
        assert_eq!(names(&order), ["failover", "net_failover", "virtio", "virtio_net", "nf_x"]);
    }

    #[test]
    fn a_hole_is_named() {
        let (_dir, tree) = tree(&[("a.ko", "b"), ("b.ko", "gone")]);
        let error = tree.load_order(&["a"]).unwrap_err();
        assert!(matches!(error, ModuleError::Missing { needed, by } if needed == "gone" && by == "b"));
    }
}
