//! A connection over the localhost of two pods that stays open, and its ends.

use crate::{PATIENCE, eventually};
use nestless_lab::{Exec, GuestClient, Lab, Piece};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

/// Where an end is.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// The VM.
    pub vm: &'a str,
    /// The pod there.
    pub pod: &'a str,
}

/// A connection that was made once: one end says something from time to time, and the other repeats it.
pub struct Conversation {
    asker: Program,
    answerer: Program,
}

impl Conversation {
    /// Connects the one end to 127.0.0.1, where the other listens.
    ///
    /// # Panics
    /// When it does not.
    pub async fn begin(lab: &Lab, asker: End<'_>, answerer: End<'_>, port: u16) -> Self {
        let answerer = Program::run(lab, answerer, &format!("nc -l -p {port} -e busybox cat")).await;
        let asker = eventually("a connection", || async {
            // Refused, until the other end listens.
            let mut asker = Program::run(lab, asker, &format!("nc 127.0.0.1 {port}")).await;
            if asker.is_answered().await { Ok(asker) } else { Err(format!("nobody listens at {port}")) }
        })
        .await;
        Self { asker, answerer }
    }

    /// Nothing has become of it.
    ///
    /// # Panics
    /// When it is over, or silent.
    pub async fn goes_on(&mut self) {
        assert!(self.asker.is_answered().await, "a connection is over that nobody has ended");
    }

    /// The asker is told that the other end is gone, without having said a word.
    ///
    /// # Panics
    /// When it is not.
    pub async fn is_cut(mut self) {
        let end = timeout(PATIENCE, self.asker.heard.recv()).await;
        assert_eq!(end.expect("a connection to nobody stays open"), None);
    }

    /// Ends it in good order.
    ///
    /// # Panics
    /// When an end stays.
    pub async fn end(self) {
        self.asker.ends().await;
        self.answerer.ends().await;
    }
}

/// One end. It is killed with this.
struct Program {
    words: mpsc::Sender<Vec<u8>>,
    heard: mpsc::UnboundedReceiver<Vec<u8>>,
    running: JoinHandle<()>,
}

impl Program {
    async fn run(lab: &Lab, end: End<'_>, applet: &str) -> Self {
        let client: GuestClient =
            lab.vm(end.vm).expect("a VM of the lab").client().await.expect("the VM answers");
        let exec = Exec::new(["busybox"].into_iter().chain(applet.split(' '))).in_pod(end.pod);
        let (words, input) = mpsc::channel(1);
        let (pieces, heard) = mpsc::unbounded_channel();
        let running = tokio::spawn(async move {
            let sink = |piece| {
                if let Piece::Stdout(bytes) = piece {
                    // Nobody listens to an end that was given up.
                    let _ = pieces.send(bytes);
                }
            };
            // How it ended is seen by what it said.
            let _ = client.exec_streaming(&exec, input, sink).await;
        });
        Self { words, heard, running }
    }

    /// Says something, and hears it back; false when the program is over.
    async fn is_answered(&mut self) -> bool {
        // A program that is over takes nothing, and says nothing more either.
        let _ = self.words.send(b"still there?\n".to_vec()).await;
        let answer = timeout(PATIENCE, self.heard.recv()).await;
        answer.expect("a connection is silent").is_some()
    }

    async fn ends(mut self) {
        let (none, _) = mpsc::channel(1);
        // The end of its input.
        drop(std::mem::replace(&mut self.words, none));
        timeout(PATIENCE, &mut self.running).await.expect("an end stays open").expect("no panic");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.running.abort();
    }
}
