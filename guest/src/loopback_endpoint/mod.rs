//! A fraction's endpoint: the NIC that carries what its `lo` cannot deliver.
//!
//! ```text
//! parking --move+rename--> hostlo0 --settings of lo--> steer loaded --steer_in, steer_out attached--> up
//!    ^____________________________|______________________|_______________________|   (a failure takes all back)
//! ```
//! The last step is the filter at `lo`: before it, nothing in the sandbox behaves otherwise than without us. Settings
//! are those of the sandbox's `lo`, and its range of ephemeral ports; what they were stands in the alias of `lo`.

mod endpoint;
mod error;
mod port_slice;
mod settings;
mod steer;

pub use endpoint::{LoopbackEndpoint, is_joined, join, leave};
pub use error::LoopbackEndpointError;
pub use port_slice::{PortSlice, PortSliceError};
