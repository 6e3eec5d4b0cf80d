//! The way in from the listener. It must not know what happens to a call, only that it is answered.

use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::Service;

use crate::failure::Source;
use crate::frontend::{self, ResponseBody};
use crate::pipeline::Room;

/// The way in, one for each data thread. Cloning touches nothing that other threads touch.
#[derive(Debug, Clone)]
pub struct Door(pub(super) Arc<Room>);

impl Door {
    /// Serves calls with `room`.
    pub fn new(room: Room) -> Self {
        Self(Arc::new(room))
    }
}

impl Service<Request<Incoming>> for Door {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let door = self.clone();
        Box::pin(async move { Ok(door.0.answer_soundly(request).await) })
    }
}

impl Room {
    /// Answers one request. A panic of ours ends this call alone: it is answered, recorded and logged, and its connection goes on.
    pub async fn answer_soundly<B>(&self, request: Request<B>) -> Response<ResponseBody>
    where
        B: Body<Data = Bytes, Error: Into<Source>> + Unpin,
    {
        let mut answering = std::pin::pin!(self.answer(request));
        // The future is not polled again after a panic, so no broken state can be seen.
        poll_fn(|cx| {
            let polled = catch_unwind(AssertUnwindSafe(|| answering.as_mut().poll(cx)));
            polled.unwrap_or_else(|_panic| Poll::Ready(frontend::render_panic(&self.clock)))
        })
        .await
    }
}
