//! Programs and tables in the kernel: what guard and reflector have in common.
//!
//! ```text
//! pins      an object's programs and tables, where they outlive the daemon
//! filters   programs on links
//! rows      rows of tables
//! ```

mod error;
pub(crate) mod filters;
pub(crate) mod pins;
pub(crate) mod rows;

pub use error::EbpfError;
