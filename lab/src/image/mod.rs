//! What a lab's VM boots: Debian's cloud kernel, and an initramfs that holds our programs. Made without root tools.

pub mod cpio;
mod initramfs;
pub mod kernel;
mod library;
pub mod module;
mod package;
mod program;
mod vmlinux;

pub use initramfs::{ImageError, Initramfs};
pub use library::LibraryError;
pub use module::ModuleError;
pub use package::PackageError;
pub use program::{Program, ProgramError, Programs};
pub use vmlinux::{VmlinuxError, extract};
