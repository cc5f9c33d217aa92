//! A program that serves in a VM until it is told to end: it says "listening" when it does, and ends with its input.

use crate::PATIENCE;
use nestless_lab::{Exec, Exit, Lab, Piece};
use tokio::{sync::mpsc, task::JoinHandle};

/// The running program.
pub struct Serving {
    stop: mpsc::Sender<Vec<u8>>,
    running: JoinHandle<()>,
    said: mpsc::UnboundedReceiver<String>,
}

impl Serving {
    /// Starts it, and returns when it serves.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn start(lab: &Lab, vm: &str, exec: Exec) -> Self {
        let client = lab.vm(vm).expect("a VM of the lab").client().await.expect("the VM answers");
        let (stop, input) = mpsc::channel(1);
        let (lines, mut said) = mpsc::unbounded_channel();
        let running = tokio::spawn(async move {
            let exit = client.exec_streaming(&exec, input, |piece| {
                let (Piece::Stdout(bytes) | Piece::Stderr(bytes)) = piece;
                // Nobody listens to us any more when the test is over.
                let _ = lines.send(String::from_utf8_lossy(&bytes).into_owned());
            });
            assert_eq!(exit.await.expect("the server runs"), Exit::Code(0));
        });
        let first = tokio::time::timeout(PATIENCE, said.recv()).await.expect("the server says something");
        assert_eq!(first.as_deref(), Some("listening\n"));
        Self { stop, running, said }
    }

    /// What it has said since it serves, which is what went wrong.
    pub fn complaints(&mut self) -> String {
        std::iter::from_fn(|| self.said.try_recv().ok()).collect()
    }

    /// Ends it.
    ///
    /// # Panics
    /// When it does not end well.
    pub async fn end(self) {
        drop(self.stop);
        self.running.await.expect("the server ends");
    }
}
