//! One call to the agent: `Invocation` out, `Answer` back, each behind its length in four bytes.

use nestless_model::{
    cni::{Answer, CniError, Del, Ended, Invocation, MAX_MESSAGE_BYTES, Request},
    refusal::Reason,
};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use std::{
    fs::{self, File},
    io::{self, IoSlice, Read as _, Write as _},
    os::{fd::AsRawFd as _, unix::net::UnixStream},
    path::Path,
    time::Duration,
};

/// Longer than any deadline of the agent's own, and shorter than that of any runtime.
const ANSWER_DEADLINE: Duration = Duration::from_secs(110);

/// Passes the call on. What happens when no agent runs depends on the command.
pub(crate) fn call(
    request: &Request,
    invocation: &Invocation,
    sandbox: Option<&File>,
) -> Result<Answer, CniError> {
    let Some(conf) = request.conf() else { return Ok(Answer::success(None)) };
    let socket = &conf.agent_socket;
    let connected = match (UnixStream::connect(socket), request) {
        (Err(error), Request::Del(del)) => match leave_note(del, socket)? {
            Some(stream) => Ok(stream),
            None => {
                let _ = writeln!(
                    io::stderr(),
                    "nestless-cni: {}; it will take the interface away when it starts",
                    no_agent(socket, &error)
                );
                return Ok(Answer::success(None));
            }
        },
        (connected, _) => connected,
    };
    let mut stream = match connected {
        Ok(stream) => stream,
        Err(error) => {
            let status = matches!(request, Request::Status(_));
            let reason = if status { Reason::NotAvailable } else { Reason::Away };
            return Err(CniError::new(reason, no_agent(socket, &error)));
        }
    };
    exchange(&mut stream, invocation, sandbox).map_err(|error| {
        let message = format!("the agent behind {} ended the call: {error}", socket.display());
        CniError::new(Reason::Away, message)
    })
}

fn no_agent(socket: &Path, error: &io::Error) -> String {
    format!("no agent answers on {}: {error}", socket.display())
}

/// A pod must be able to die while the agent is down, and nothing of it may be forgotten: the agent reads the note when it
/// starts. One that has started meanwhile may have looked for notes before this one was there, so it is called for again;
/// its connection is returned.
fn leave_note(del: &Del, socket: &Path) -> Result<Option<UnixStream>, CniError> {
    let ended = Ended { attachment: del.attachment.clone(), sandbox: del.sandbox.clone() };
    let directory = Ended::directory(socket);
    let path = directory.join(ended.file_name());
    write_note(&ended, &directory, &path).map_err(|error| {
        let message = format!(
            "no agent answers on {}, and {} cannot be left for it: {error}",
            socket.display(),
            path.display()
        );
        CniError::new(Reason::Away, message)
    })?;
    let stream = UnixStream::connect(socket).ok();
    if stream.is_some() {
        // It would end a later life of the same container.
        let _ = fs::remove_file(path);
    }
    Ok(stream)
}

fn write_note(ended: &Ended, directory: &Path, path: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    // Of this process alone: the runtime may call twice at once.
    let half = path.with_extension(format!("half-{}", std::process::id()));
    fs::write(&half, serde_json::to_vec(ended)?)?;
    fs::rename(half, path)
}

fn exchange(stream: &mut UnixStream, invocation: &Invocation, sandbox: Option<&File>) -> io::Result<Answer> {
    stream.set_read_timeout(Some(ANSWER_DEADLINE))?;
    stream.set_write_timeout(Some(ANSWER_DEADLINE))?;
    let body = serde_json::to_vec(invocation)?;
    let length = u32::try_from(body.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    send_length(stream, length, sandbox)?;
    stream.write_all(&body)?;

    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > MAX_MESSAGE_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it announced {length} bytes")));
    }
    let mut body = vec![0; length as usize];
    stream.read_exact(&mut body)?;
    Ok(serde_json::from_slice(&body)?)
}

/// The descriptor travels beside the length. Four bytes into the empty buffer of a new socket go at once or not at all.
fn send_length(stream: &UnixStream, length: u32, sandbox: Option<&File>) -> io::Result<()> {
    let length = length.to_be_bytes();
    let descriptors: Vec<_> = sandbox.map(|file| file.as_raw_fd()).into_iter().collect();
    let rights = [ControlMessage::ScmRights(&descriptors)];
    let control = if descriptors.is_empty() { &rights[..0] } else { &rights[..] };
    sendmsg::<()>(stream.as_raw_fd(), &[IoSlice::new(&length)], control, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(())
}
