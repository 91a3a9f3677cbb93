//! A response body that always ends with a status.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tonic::{Status, codegen::StdError};

/// Passes a response's body on until `end` gives a status. That status then becomes the trailers,
/// as does an error of the body. Dropping the inner body stops whoever produces it.
pub(crate) struct Ended<B> {
    inner: Option<B>,
    end: Pin<Box<dyn Future<Output = Status> + Send>>,
}

impl<B> Ended<B> {
    pub(crate) fn new(inner: B, end: impl Future<Output = Status> + Send + 'static) -> Self {
        Self {
            inner: Some(inner),
            end: Box::pin(end),
        }
    }

    fn stop(&mut self, status: &Status) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.inner = None;
        let mut trailers = HeaderMap::new();
        if status.add_header(&mut trailers).is_err() {
            // Unreachable: the messages are percent-encoded.
            trailers.insert(Status::GRPC_STATUS, (status.code() as i32).into());
        }
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }
}

impl<B> Body for Ended<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<StdError>,
{
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        match Pin::new(inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(frame))),
            Poll::Ready(Some(Err(error))) => {
                self.stop(&crate::client::transport_status(&*error.into()))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => match self.end.as_mut().poll(context) {
                Poll::Ready(status) => self.stop(&status),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}
