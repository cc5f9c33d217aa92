//! The calls of one channel.

use super::body::{Answer, Request};
use crate::{
    allowance::{Allowance, Share},
    channel::Peer,
    service::too_many_calls,
};
use hyper::body::Incoming;
use nestless_proto::MAX_REQUEST_BYTES;
use std::{convert::Infallible, pin::Pin};
use tonic::{body::Body, codegen::Service as _, service::Routes};

/// A length and a flag stand before a message (gRPC over HTTP/2, Length-Prefixed-Message).
const MAX_BODY_BYTES: usize = MAX_REQUEST_BYTES + 5;

/// Serves one channel's calls, each within its VM's allowance.
pub(super) struct Calls {
    pub(super) routes: Routes,
    pub(super) peer: Peer,
    pub(super) allowance: Allowance,
}

type Response = http::Response<Body>;

impl hyper::service::Service<http::Request<Incoming>> for Calls {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        let Some(share) = self.allowance.for_call() else {
            let refused = too_many_calls(&self.peer).into_http();
            return Box::pin(std::future::ready(Ok(refused)));
        };
        let mut request = request.map(|body| Request::new(body, MAX_BODY_BYTES));
        request.extensions_mut().insert(self.peer.clone());
        let mut routes = self.routes.clone();
        Box::pin(async move {
            let mut response = routes.call(request).await?;
            // What the answer itself takes, where it may be large.
            let answer = response.extensions_mut().remove::<Share>();
            Ok(response.map(|body| Body::new(Answer { body, _shares: [Some(share), answer] })))
        })
    }
}
