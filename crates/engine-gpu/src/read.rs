//! Bytes on their way from the device.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use cubecl::bytes::Bytes;
use cubecl::prelude::*;
use cubecl::server::{Handle, ServerError};
use framelift_engine::EngineError;

use crate::engine::{device_error, first_line};

type Outcome = Result<Vec<Bytes>, ServerError>;

/// Copies of buffers that were begun in the order of the launches: what is launched later may write to the buffers. CubeCL
/// uses the memory that they go through again, so one that nobody waits for is waited for when it is dropped.
pub(crate) struct Read(Option<State>);

enum State {
    Coming(Pin<Box<dyn Future<Output = Outcome> + Send>>),
    There(Outcome),
}

impl Read {
    pub(crate) fn begin<R: Runtime>(client: &ComputeClient<R>, handles: Vec<Handle>) -> Self {
        let client = client.clone();
        let mut copies: Pin<Box<dyn Future<Output = Outcome> + Send>> =
            Box::pin(async move { client.read_async(handles).await });
        // The first poll puts the copies into the queue.
        Self(Some(match copies.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => State::There(outcome),
            Poll::Pending => State::Coming(copies),
        }))
    }

    /// The bytes, once they are there.
    pub(crate) fn wait(mut self) -> Result<Vec<Bytes>, EngineError> {
        let outcome = self.settle().unwrap_or_else(|| Ok(Vec::new()));
        outcome.map_err(|error| device_error(first_line(&error.to_string())))
    }

    /// What came of the copies, the first time that it is asked for.
    fn settle(&mut self) -> Option<Outcome> {
        Some(match self.0.take()? {
            State::Coming(copies) => cubecl::future::block_on(copies),
            State::There(outcome) => outcome,
        })
    }
}

impl Drop for Read {
    fn drop(&mut self) {
        // A driver that panics must not do so while another panic unwinds.
        drop(catch_unwind(AssertUnwindSafe(|| drop(self.settle()))));
    }
}
