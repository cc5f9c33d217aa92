//! Small servers and clients.

use crate::socket::patient;
use socket2::Socket;
use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    thread::JoinHandle,
};

/// What a server was told, one text for each connection.
pub type Said = Vec<String>;

/// Answers `count` connections with `name`, after having read what was said up to the end.
///
/// # Panics
/// In its thread, when a connection breaks.
pub fn serve(listener: TcpListener, name: &'static str, count: usize) -> JoinHandle<Said> {
    std::thread::spawn(move || (0..count).map(|_| greet(&listener, name)).collect())
}

/// Answers one connection with `name`.
///
/// # Panics
/// When it breaks, or none comes.
pub fn greet(listener: &TcpListener, name: &str) -> String {
    let (mut stream, _) = listener.accept().expect("a connection comes");
    patient(&Socket::from(stream.try_clone().expect("a descriptor")));
    let mut said = String::new();
    stream.read_to_string(&mut said).expect("the client's text");
    stream.write_all(name.as_bytes()).expect("an answer can be sent");
    said
}

/// Says `text`, closes its half, and hears the answer to the end.
///
/// # Errors
/// When the connection breaks.
pub fn ask(mut stream: TcpStream, text: &str) -> io::Result<String> {
    stream.write_all(text.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
