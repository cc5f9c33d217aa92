//! Devices on the kernel's buses, and the drivers that they are bound to.
//!
//! A network link of a device lives from bind to unbind, and has nothing of the one before: whatever was set, loaded or
//! hung on that one is gone, known to us or not. Sysfs shows devices and drivers to every network namespace alike.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

/// One device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusDevice {
    /// "virtio"
    pub bus: String,
    /// "virtio3"
    pub name: String,
}

/// The driver that a device was bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Driver(PathBuf);

impl BusDevice {
    /// The driver that has it.
    ///
    /// # Errors
    /// [`DriverError::Unbound`] when there is none, as of a device that is unplugged.
    pub fn driver_now(&self) -> Result<Driver, DriverError> {
        let failed = |source| DriverError::Unbound { device: self.clone(), source };
        // An absolute path, which leads there also when the device has no driver any more.
        fs::canonicalize(self.directory().join("driver")).map(Driver).map_err(failed)
    }

    /// Has the driver let go of the device. Blocks until all that the driver made of it is gone.
    ///
    /// # Errors
    /// When the device is another driver's, or gone.
    pub fn unbind(&self, driver: &Driver) -> Result<(), DriverError> {
        self.tell(&driver.0, "unbind")
    }

    /// Has the driver take the device. Blocks until it has made of it what it makes.
    ///
    /// # Errors
    /// When the driver does not take it: there is too little of something that it needs, or the device is gone.
    pub fn bind(&self, driver: &Driver) -> Result<(), DriverError> {
        self.tell(&driver.0, "bind")
    }

    /// Whether it is there, and no driver has it.
    pub fn is_unbound(&self) -> bool {
        let directory = self.directory();
        directory.exists() && !directory.join("driver").exists()
    }

    /// A driver of its bus, bound or not.
    pub fn driver(&self, name: &str) -> Driver {
        Driver(Path::new("/sys/bus").join(&self.bus).join("drivers").join(name))
    }

    fn tell(&self, driver: &Path, verb: &'static str) -> Result<(), DriverError> {
        fs::write(driver.join(verb), &self.name).map_err(|source| DriverError::Refused {
            device: self.clone(),
            verb,
            source,
        })
    }

    fn directory(&self) -> PathBuf {
        Path::new("/sys/bus").join(&self.bus).join("devices").join(&self.name)
    }
}

impl Driver {
    /// "virtio_net"
    pub fn name(&self) -> &str {
        self.0.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }
}

impl fmt::Display for BusDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of bus {}", self.name, self.bus)
    }
}

/// A driver did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// No driver has it.
    #[error("find the driver of {device}")]
    Unbound {
        /// Which.
        device: BusDevice,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel or the driver says no.
    #[error("{verb} {device} (this needs a writable /sys)")]
    Refused {
        /// Which.
        device: BusDevice,
        /// "bind" or "unbind".
        verb: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_has_no_driver() {
        let device = BusDevice { bus: "virtio".into(), name: "virtio-nowhere".into() };
        assert!(!device.is_unbound());
        let error = device.driver_now().unwrap_err();
        assert_eq!(error.to_string(), "find the driver of virtio-nowhere of bus virtio");
        let driver = device.driver("virtio_net");
        assert_eq!(driver.name(), "virtio_net");
        assert!(matches!(device.unbind(&driver), Err(DriverError::Refused { verb: "unbind", .. })));
        assert!(matches!(device.bind(&driver), Err(DriverError::Refused { verb: "bind", .. })));
    }
}
