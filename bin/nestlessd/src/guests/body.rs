//! What comes and goes with a call: a request that must be whole in time, and an answer that holds the call's share.

use crate::allowance::Share;
use http_body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Sleep, sleep};
use tonic::Status;

/// How long a request may take to come. An agent sends it in one piece.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);

/// A request: of so many bytes at most, and ended in time.
pub(super) struct Request<B> {
    body: B,
    left: usize,
    deadline: Pin<Box<Sleep>>,
}

impl<B> Request<B> {
    pub(super) fn new(body: B, max_bytes: usize) -> Self {
        Self { body, left: max_bytes, deadline: Box::pin(sleep(REQUEST_DEADLINE)) }
    }
}

impl<B: Body<Data: bytes::Buf, Error: std::fmt::Display> + Unpin> Body for Request<B> {
    type Data = B::Data;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, Status>>> {
        if self.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(Status::deadline_exceeded(
                "the request was not sent whole in time",
            ))));
        }
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(Status::cancelled(error.to_string())))),
            Some(Ok(frame)) => frame,
        };
        let bytes = frame.data_ref().map_or(0, bytes::Buf::remaining);
        match self.left.checked_sub(bytes) {
            Some(left) => self.left = left,
            None => return Poll::Ready(Some(Err(Status::out_of_range("the request is too large")))),
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer, with what the call holds until it has been taken away.
pub(super) struct Answer<B> {
    pub(super) body: B,
    pub(super) _shares: [Option<Share>; 2],
}

impl<B: Body + Unpin> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
