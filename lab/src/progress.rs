//! What the lab is doing just now, told to whoever watches.

use std::{fmt, sync::Arc};

type Sink = dyn Fn(&str) + Send + Sync;

/// Receives each step as it begins, in words such as "boot vm1". Silent by default.
#[derive(Clone, Default)]
pub struct Progress {
    sink: Option<Arc<Sink>>,
}

impl Progress {
    /// Tells `sink`.
    pub fn to(sink: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { sink: Some(Arc::new(sink)) }
    }

    /// Tells that a step begins.
    pub fn step(&self, text: impl AsRef<str>) {
        tracing::debug!(step = text.as_ref());
        if let Some(sink) = &self.sink {
            sink(text.as_ref());
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.sink.is_some() { "Progress(watched)" } else { "Progress(silent)" })
    }
}
