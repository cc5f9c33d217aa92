//! What kernel settings were before we changed them, so that whoever takes everything back can put them back too.
//!
//! Text, one setting a line, as sysctl(8) reads it: `net/ipv4/ip_forward = 0`. It belongs below `/run`: a reboot forgets
//! it together with the settings.

use crate::sysctl;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// A record of them. It has one writer.
#[derive(Clone, Debug)]
pub struct FormerSettings {
    path: PathBuf,
}

impl FormerSettings {
    /// The one in this file, which need not exist.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Notes what a setting is now, unless it was noted before. To be called before it is changed. One that cannot be read
    /// is not noted: it cannot be changed either.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn note(&self, key: &str) -> io::Result<()> {
        let mut settings = read(&self.path)?;
        let Ok(value) = sysctl::read(key) else { return Ok(()) };
        if settings.contains_key(key) {
            return Ok(());
        }
        settings.insert(key.to_owned(), value);
        let text: String = settings.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        // Whole or not at all.
        let mut half = self.path.clone().into_os_string();
        half.push(".half");
        fs::write(&half, text)?;
        fs::rename(&half, &self.path)
    }
}

/// What was noted, by its path below `/proc/sys`; nothing where there is no file.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> io::Result<BTreeMap<String, String>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text?,
    };
    let settings = text.lines().filter_map(|line| line.split_once(" = "));
    Ok(settings.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netns::Namespace;

    #[tokio::test]
    async fn the_first_value_is_kept_however_often_it_is_noted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/former");
        let noted = path.clone();
        let namespace = Namespace::anonymous().unwrap();
        let key = "net/ipv4/ip_forward";
        sysctl::write_inside(&namespace, key, "0").await.unwrap();
        let keep = move || {
            let former = FormerSettings::at(noted);
            former.note(key).unwrap();
            sysctl::write(key, "1").unwrap();
            former.note(key).unwrap();
            former.note("net/ipv4/no_such_setting").unwrap();
        };
        namespace.run(keep).await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "net/ipv4/ip_forward = 0\n");
        assert_eq!(read(&path).unwrap(), BTreeMap::from([(key.to_owned(), "0".to_owned())]));
        assert!(read(&folder.path().join("none")).unwrap().is_empty());
    }
}
