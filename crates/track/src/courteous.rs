use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use http_body_util::Full;
use hyper::body::{Body, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::answer::{self, Answer};

/// A connection on which a request that is none gets an answer of ours: the pixel, or the page for what leads
/// nowhere.
///
/// hyper answers such a request by itself, with a bare 400, and asks nobody. No answer of ours has that status,
/// so what begins like that is hyper's, and is replaced as it goes out. Behind another answer in the same write,
/// to a client that sent several requests at once, it goes out as it is: that says nothing either.
pub(crate) struct Courteous<S> {
    stream: S,
    asks_for_pixel: bool,
    /// What goes out instead, and how much of it has.
    instead: Option<(Bytes, usize)>,
}

/// What hyper writes.
const REFUSED: &[u8] = b"HTTP/1.1 400 Bad Request\r\n";
const ASKS_FOR_PIXEL: &[u8] = b"GET /o/";

impl<S> Courteous<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, asks_for_pixel: false, instead: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Courteous<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let new = &buf.filled()[before..];
        // The rest of a request that comes in pieces changes nothing.
        if new.starts_with(b"GET ") {
            self.asks_for_pixel = new.starts_with(ASKS_FOR_PIXEL);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Courteous<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.instead.is_none() {
            if !buf.starts_with(REFUSED) {
                return Pin::new(&mut this.stream).poll_write(cx, buf);
            }
            let answer = if this.asks_for_pixel { answer::pixel() } else { answer::not_found() };
            this.instead = Some((last_answer(answer), 0));
        }
        while let Some((octets, written)) = &mut this.instead {
            if *written == octets.len() {
                this.instead = None;
                break;
            }
            match Pin::new(&mut this.stream).poll_write(cx, &octets[*written..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(more)) => *written += more,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        // All that hyper wrote is its answer: it closes after it.
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// An answer as octets; the connection ends behind it.
fn last_answer(answer: Answer) -> Bytes {
    let (head, body) = answer.into_parts();
    let body = whole(body);
    let mut octets = format!("HTTP/1.1 {}\r\n", head.status).into_bytes();
    for (name, value) in &head.headers {
        octets.extend_from_slice(title_case(name.as_str()).as_bytes());
        octets.extend_from_slice(b": ");
        octets.extend_from_slice(value.as_bytes());
        octets.extend_from_slice(b"\r\n");
    }
    octets
        .extend_from_slice(format!("Content-Length: {}\r\nConnection: close\r\n\r\n", body.len()).as_bytes());
    octets.extend_from_slice(&body);
    octets.into()
}

/// What a body holds that is in one piece and there already.
fn whole(mut body: Full<Bytes>) -> Bytes {
    let mut cx = Context::from_waker(Waker::noop());
    match Pin::new(&mut body).poll_frame(&mut cx) {
        Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        _ => Bytes::new(),
    }
}

/// `Content-Type`, as hyper writes the fields of other answers.
fn title_case(name: &str) -> String {
    let mut first = true;
    let letter = |c: char| {
        let capital = std::mem::replace(&mut first, c == '-');
        if capital { c.to_ascii_uppercase() } else { c }
    };
    name.chars().map(letter).collect()
}
