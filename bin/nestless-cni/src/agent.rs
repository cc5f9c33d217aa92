//! One call to the agent: `Invocation` out, `Answer` back, each behind its length in four bytes.

use nestless_model::{
    cni::{Answer, CniError, Invocation, MAX_MESSAGE_BYTES, Request},
    refusal::Reason,
};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use std::{
    fs::File,
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
    let mut stream = match UnixStream::connect(socket) {
        Ok(stream) => stream,
        Err(error) => return without_agent(request, socket, &error),
    };
    exchange(&mut stream, invocation, sandbox).map_err(|error| {
        let message = format!("the agent behind {} ended the call: {error}", socket.display());
        CniError::new(Reason::Away, message)
    })
}

/// A pod must be able to die while the agent is down: the agent looks for sandboxes that vanished whenever it starts, so
/// DEL can leave it to that.
fn without_agent(request: &Request, socket: &Path, error: &io::Error) -> Result<Answer, CniError> {
    let message = format!("no agent answers on {}: {error}", socket.display());
    match request {
        Request::Del(_) => {
            let _ = writeln!(io::stderr(), "nestless-cni: {message}; the agent will clean up when it starts");
            Ok(Answer::success(None))
        }
        Request::Status(_) => Err(CniError::new(Reason::NotAvailable, message)),
        _ => Err(CniError::new(Reason::Away, message)),
    }
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
