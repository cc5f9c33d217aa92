//! Where the plugin calls: a unix socket that only root may use.
#![expect(unsafe_code, reason = "a descriptor received by SCM_RIGHTS comes as a bare number")]

use super::call;
use crate::core::Agent;
use anyhow::Context as _;
use nestless_model::cni::{Answer, Invocation, MAX_MESSAGE_BYTES};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use std::{
    fs,
    io::{self, IoSliceMut},
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::fs::PermissionsExt as _,
    },
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Interest},
    net::{UnixListener, UnixStream},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A caller that does not say what it wants is not waited for.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);

/// Listens at `path`, in place of whatever socket an earlier agent left there.
pub(crate) fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    let listener = UnixListener::bind(&new).with_context(|| format!("listen on {}", new.display()))?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600))
        .with_context(|| format!("keep {} to root", new.display()))?;
    // Renamed when nobody else can open it any more.
    fs::rename(&new, path).with_context(|| format!("listen on {}", path.display()))?;
    Ok(listener)
}

/// Serves until `stop`; calls that have begun are finished by `calls`.
pub(crate) async fn serve(
    listener: UnixListener,
    agent: Arc<Agent>,
    calls: TaskTracker,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(calls.spawn(serve_one(stream, Arc::clone(&agent)))),
                // Out of descriptors: those in use come back when their calls end.
                Err(error) => {
                    tracing::warn!(%error, "a CNI call was not accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            () = stop.cancelled() => return,
        }
    }
}

async fn serve_one(mut stream: UnixStream, agent: Arc<Agent>) {
    let received = tokio::time::timeout(REQUEST_DEADLINE, receive(&mut stream)).await;
    let (invocation, sandbox) = match received {
        Ok(Ok(received)) => received,
        Ok(Err(error)) => {
            return tracing::debug!(%error, "a caller on the CNI socket did not speak our language");
        }
        Err(_) => return tracing::debug!("a caller on the CNI socket said nothing"),
    };
    let answer = call::answer(&agent, invocation, sandbox).await;
    if let Err(error) = reply(&mut stream, &answer).await {
        tracing::debug!(%error, "the runtime did not wait for the answer to a CNI call; it will call DEL");
    }
}

async fn receive(stream: &mut UnixStream) -> io::Result<(Invocation, Option<OwnedFd>)> {
    let (length, sandbox) = receive_length(stream).await?;
    if length > MAX_MESSAGE_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{length} bytes were announced")));
    }
    let mut body = vec![0; length as usize];
    stream.read_exact(&mut body).await?;
    Ok((serde_json::from_slice(&body)?, sandbox))
}

/// The length, and the descriptor beside it.
async fn receive_length(stream: &UnixStream) -> io::Result<(u32, Option<OwnedFd>)> {
    let mut bytes = [0; 4];
    let (read, sandbox) = loop {
        stream.readable().await?;
        match stream.try_io(Interest::READABLE, || receive_rights(stream, &mut bytes)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            outcome => break outcome?,
        }
    };
    // The plugin sends the four bytes at once, and the kernel does not divide them.
    if read < bytes.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((u32::from_be_bytes(bytes), sandbox))
}

fn receive_rights(stream: &UnixStream, bytes: &mut [u8; 4]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut control = nix::cmsg_space!([std::os::fd::RawFd; 1]);
    let mut parts = [IoSliceMut::new(bytes)];
    let message =
        recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut sandbox = None;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(descriptors) = control {
            for descriptor in descriptors {
                // SAFETY: the kernel has just made this descriptor for us, and nothing else owns it. All are taken, so that
                // none is leaked; the last one counts.
                sandbox = Some(unsafe { OwnedFd::from_raw_fd(descriptor) });
            }
        }
    }
    Ok((message.bytes, sandbox))
}

async fn reply(stream: &mut UnixStream, answer: &Answer) -> io::Result<()> {
    let body = serde_json::to_vec(answer)?;
    let length = u32::try_from(body.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(&body).await?;
    stream.shutdown().await
}
