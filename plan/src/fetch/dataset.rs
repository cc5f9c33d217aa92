//! Where the traces lie.

use std::collections::BTreeMap;

/// A trace that can be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dataset {
    /// Google ClusterData 2011, version 2: 500 parts of task events.
    Google2011,
    /// Alibaba's openb pod list: one file.
    Alibaba2023,
}

const GOOGLE: &str = "https://storage.googleapis.com/clusterdata-2011-2";
const ALIBABA: &str =
    "https://raw.githubusercontent.com/alibaba/clusterdata/master/cluster-trace-gpu-v2023/csv";

impl Dataset {
    /// Files it has.
    pub fn parts(self) -> u32 {
        match self {
            Self::Google2011 => 500,
            Self::Alibaba2023 => 1,
        }
    }

    /// The publisher's address.
    pub fn base_url(self) -> &'static str {
        match self {
            Self::Google2011 => GOOGLE,
            Self::Alibaba2023 => ALIBABA,
        }
    }

    /// The path of part `index` below the publisher's address.
    pub fn remote_path(self, index: u32) -> String {
        match self {
            Self::Google2011 => format!("task_events/part-{index:05}-of-00500.csv.gz"),
            Self::Alibaba2023 => "openb_pod_list_default.csv".to_owned(),
        }
    }

    /// The name part `index` gets on disk.
    pub fn file_name(self, index: u32) -> String {
        self.remote_path(index).replace('/', "-")
    }

    /// The list of hashes below the publisher's address, where there is one.
    pub fn checksums_path(self) -> Option<&'static str> {
        match self {
            Self::Google2011 => Some("SHA256SUM"),
            Self::Alibaba2023 => None,
        }
    }

    /// The SHA-256, in hex, of a file that the publisher gives none for.
    pub fn known_sha256(self) -> Option<&'static str> {
        match self {
            Self::Google2011 => None,
            Self::Alibaba2023 => Some("1ee7ed79c27a3b0861cda8ddba86a004c6aba904caafa329a76ae93ca63834a8"),
        }
    }

    /// How the file must be asked for, so that its bytes come as they are stored.
    pub(crate) fn accept_encoding(self) -> &'static str {
        match self {
            Self::Google2011 => "gzip",
            Self::Alibaba2023 => "identity",
        }
    }
}

/// Reads what `sha256sum` writes: path to hash, in lower-case hex.
pub fn checksums(text: &str) -> BTreeMap<String, String> {
    let line = |line: &str| {
        let (hash, path) = line.split_once(char::is_whitespace)?;
        let path = path.trim_start().trim_start_matches('*').trim_start_matches("./");
        let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hash.then(|| (path.to_owned(), hash.to_ascii_lowercase()))
    };
    text.lines().filter_map(line).collect()
}
