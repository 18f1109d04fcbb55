//! Bytes on their way from the device.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use cubecl::bytes::Bytes;
use cubecl::prelude::*;
use cubecl::server::{Handle, ServerError};
use framelift_engine::EngineError;

use crate::engine::{device_error, reason_of};

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
        let mut copies: Pin<Box<dyn Future<Output = Outcome> + Send>> = Box::pin(async move {
            let copies = client.read_async(handles);
            breath().await;
            copies.await
        });
        // The first poll puts the copies into the queue. CUDA would wait for them in the next.
        Self(Some(match copies.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => State::There(outcome),
            Poll::Pending => State::Coming(copies),
        }))
    }

    /// The bytes, once they are there.
    pub(crate) fn wait(mut self) -> Result<Vec<Bytes>, EngineError> {
        let outcome = self.settle().unwrap_or_else(|| Ok(Vec::new()));
        outcome.map_err(|error| device_error(reason_of(&error)))
    }

    /// What came of the copies, the first time that it is asked for.
    fn settle(&mut self) -> Option<Outcome> {
        Some(match self.0.take()? {
            State::Coming(copies) => cubecl::future::block_on(copies),
            State::There(outcome) => outcome,
        })
    }
}

/// Pending, the first time that it is polled.
fn breath() -> impl Future<Output = ()> {
    let mut is_first = true;
    std::future::poll_fn(move |context| {
        if !std::mem::take(&mut is_first) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
}

impl Drop for Read {
    fn drop(&mut self) {
        // A driver that panics must not do so while another panic unwinds.
        drop(catch_unwind(AssertUnwindSafe(|| drop(self.settle()))));
    }
}
