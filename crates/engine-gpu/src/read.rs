//! Bytes on their way from the device.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use cubecl::bytes::Bytes;
use cubecl::prelude::*;
use cubecl::server::{Handle, ServerError};
use framelift_engine::EngineError;

use crate::engine::{device_error, first_line};

type Outcome = Result<Vec<Bytes>, ServerError>;

/// Copies of buffers that were begun in the order of the launches: what is launched later may write to the buffers.
pub(crate) struct Read {
    copies: Pin<Box<dyn Future<Output = Outcome> + Send>>,
    done: Option<Outcome>,
}

impl Read {
    pub(crate) fn begin<R: Runtime>(client: &ComputeClient<R>, handles: Vec<Handle>) -> Self {
        let client = client.clone();
        let mut copies: Pin<Box<dyn Future<Output = Outcome> + Send>> =
            Box::pin(async move { client.read_async(handles).await });
        // The first poll puts the copies into the queue.
        let done = match copies.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        };
        Self { copies, done }
    }

    /// The bytes, once they are there.
    pub(crate) fn wait(self) -> Result<Vec<Bytes>, EngineError> {
        let outcome = self.done.unwrap_or_else(|| cubecl::future::block_on(self.copies));
        outcome.map_err(|error| device_error(first_line(&error.to_string())))
    }
}
