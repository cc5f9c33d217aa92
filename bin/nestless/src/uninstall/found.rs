//! What there is to remove, and what is against it.

use super::removal::Removal;

/// The outcome of a look.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// In this order.
    pub(super) removals: Vec<Removal>,
    /// Whose network goes with it: "VM vm1, with 3 NICs".
    pub(super) in_use: Vec<String>,
    /// The service that would make all of it again.
    pub(super) running: Option<&'static str>,
    /// What is left for somebody else to remove, and how.
    pub(super) afterwards: String,
}

impl Found {
    pub(super) fn told(&self) -> String {
        if self.removals.is_empty() {
            return "there is nothing to remove\n".to_owned();
        }
        let removals: String = self.removals.iter().map(|removal| format!("  {removal}\n")).collect();
        let in_use: String = self.in_use.iter().map(|user| format!("still in use by {user}\n")).collect();
        format!("to be removed:\n{removals}{in_use}")
    }
}

/// How the programs are removed: they may have come by a package or by its tar.
pub(super) fn programs(package: &str) -> String {
    let listed = format!("/usr/share/nestless/{package}.files");
    if std::path::Path::new(&format!("/var/lib/dpkg/info/{package}.list")).exists() {
        format!("the programs are package {package}'s: apt-get purge {package}\n")
    } else if std::path::Path::new(&listed).exists() {
        format!("the programs came by tar: xargs -a {listed} rm -f\n")
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    #[test]
    fn all_is_shown_with_who_uses_it() {
        assert_snapshot!(Found::default().told(), @"there is nothing to remove");
        let found = Found {
            removals: vec![
                Removal::Bridge("nestless0".into()),
                Removal::File("/run/nestless/nestlessd.sock".into()),
            ],
            in_use: vec!["VM vm1, with 3 NICs".into()],
            ..Found::default()
        };
        assert_snapshot!(found.told(), @r"
        to be removed:
          bridge nestless0
          file /run/nestless/nestlessd.sock
        still in use by VM vm1, with 3 NICs
        ");
    }
}
