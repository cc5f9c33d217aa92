//! Rows of tables.

use super::error::EbpfError;
use aya::{
    Pod,
    maps::{MapError, PerCpuValues},
    util::nr_cpus,
};

/// `None` for a row that is not there.
pub(crate) fn optional<T>(result: Result<T, MapError>) -> Result<Option<T>, MapError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// For a removal: what is not there is removed.
pub(crate) fn absent(result: Result<(), MapError>) -> Result<(), MapError> {
    match result {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}

/// A row of which each CPU has a share: the whole is the first one's.
pub(crate) fn shares<T: Pod + Default>(whole: T) -> Result<PerCpuValues<T>, MapError> {
    let cpus = nr_cpus().map_err(|(_, source)| MapError::IoError(source))?;
    let mut shares = vec![T::default(); cpus];
    shares[0] = whole;
    PerCpuValues::try_from(shares).map_err(MapError::IoError)
}

/// A failure with a table of an object; `row` is the link's whose row it is.
pub(crate) fn failed(
    operation: &'static str,
    object: &'static str,
    table: &'static str,
    row: Option<u32>,
) -> impl Fn(MapError) -> EbpfError {
    move |source| EbpfError::Table { operation, object, table, row, source: Box::new(source) }
}
