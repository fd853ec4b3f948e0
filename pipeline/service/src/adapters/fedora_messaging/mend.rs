//! Mends what the broker passes on before the client library reads it.
//!
//! AMQP says that short texts are UTF-8 and tables are no deeper than sense; the broker checks neither. The library ends
//! the connection over the first and its stack over the second, the broker delivers the same message again, and nothing
//! behind it is ever read. So each byte that is no text becomes `SUBSTITUTE`, and a table within too many becomes bytes.
//! Neither changes a length. What comes of such a message is decided in `wire`.
//!
//! It knows frames and no messages. What it does not understand it leaves as it is.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_rs::Tokio;
use async_rs::traits::Reactor;
use futures_util::Stream;
use futures_util::io::{AsyncRead, AsyncWrite};
use lapin::AsyncTcpStream;

/// Stands for a byte that is no text: what ASCII has this character for.
pub const SUBSTITUTE: u8 = 0x1a;

/// Tables and lists may lie so deep in each other. The library's own reading of one takes a few hundred bytes of stack.
const DEEPEST: u32 = 32;

/// The largest frame that is looked at; RabbitMQ agrees on 128 KiB when nothing else is configured.
const LARGEST: usize = 16 << 20;

/// What a frame begins with (type, channel, size), and the byte that it ends with.
const FRAME: usize = 7 + 1;

/// A connection whose incoming frames are mended.
pub struct Mended {
    inner: AsyncTcpStream<<Tokio as Reactor>::TcpStream>,
    mender: Mender,
}

impl Mended {
    pub(super) fn new(inner: AsyncTcpStream<<Tokio as Reactor>::TcpStream>) -> Self {
        Mended { inner, mender: Mender::default() }
    }
}

impl AsyncRead for Mended {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let mut taken = [0; 16 * 1024];
        while this.mender.is_waiting() {
            match ready!(Pin::new(&mut this.inner).poll_read(context, &mut taken))? {
                0 => {
                    this.mender.give_up();
                    break;
                }
                count => this.mender.take(taken.get(..count).unwrap_or_default()),
            }
        }
        Poll::Ready(Ok(this.mender.give(buffer)))
    }
}

impl AsyncWrite for Mended {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_close(context)
    }
}

/// Frames that are collected until they are whole, mended, and handed on.
#[derive(Debug, Default)]
struct Mender {
    bytes: Vec<u8>,
    /// Up to here the bytes were handed on.
    given: usize,
    /// Up to here they may be.
    whole: usize,
    /// Whether all that comes is handed on as it is.
    is_blind: bool,
}

impl Mender {
    /// Whether there is nothing to hand on.
    fn is_waiting(&self) -> bool {
        self.given == self.whole
    }

    fn take(&mut self, bytes: &[u8]) {
        if self.is_waiting() {
            self.bytes.drain(..self.given);
            (self.given, self.whole) = (0, 0);
        }
        self.bytes.extend_from_slice(bytes);
        while let Some(size) = self.next_frame() {
            let frame = self.bytes.get_mut(self.whole..self.whole + size).unwrap_or_default();
            mend(frame);
            self.whole += size;
        }
        if self.is_blind {
            self.whole = self.bytes.len();
        }
    }

    /// The size of the next frame, if it is whole.
    fn next_frame(&mut self) -> Option<usize> {
        let rest = self.bytes.get(self.whole..)?;
        let size = rest.get(3..7)?.try_into().map(u32::from_be_bytes).ok()? as usize;
        // A broker that wants another version says so in no frame.
        self.is_blind |= rest.first() == Some(&b'A') || size > LARGEST;
        (!self.is_blind && rest.len() >= size + FRAME).then_some(size + FRAME)
    }

    /// Nothing comes any more: what is left is handed on.
    fn give_up(&mut self) {
        self.is_blind = true;
        self.whole = self.bytes.len();
    }

    fn give(&mut self, buffer: &mut [u8]) -> usize {
        let ready = self.bytes.get(self.given..self.whole).unwrap_or_default();
        let count = ready.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(ready) {
            *to = *from;
        }
        self.given += count;
        count
    }
}

/// Mends one whole frame.
fn mend(frame: &mut [u8]) {
    let mut reader = Reader { bytes: frame, at: 0 };
    // What is not laid out as expected is left to the library.
    let _ = reader.frame();
}

/// Walks along a frame. Nothing is returned where it does not hold what it should.
struct Reader<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl Reader<'_> {
    fn frame(&mut self) -> Option<()> {
        let kind = self.number(1)?;
        self.skip(6)?;
        match kind {
            1 => self.method(),
            2 => self.header(),
            _ => Some(()),
        }
    }

    fn method(&mut self) -> Option<()> {
        match (self.number(2)?, self.number(2)?) {
            // basic.return
            (60, 50) => {
                self.skip(2)?;
                self.texts(3)
            }
            // basic.deliver: the tag of the consumer, that of the delivery, whether it comes again, exchange and key.
            (60, 60) => {
                self.texts(1)?;
                self.skip(9)?;
                self.texts(2)
            }
            _ => Some(()),
        }
    }

    fn header(&mut self) -> Option<()> {
        self.skip(12)?;
        let flags = self.number(2)?;
        // From the highest bit: content type and encoding, headers, delivery mode, priority, correlation id, reply to,
        // expiration, message id, timestamp, type, user, application, cluster.
        for bit in (2..16).rev() {
            if flags & (1 << bit) == 0 {
                continue;
            }
            match bit {
                13 => self.table(0)?,
                11 | 12 => self.skip(1)?,
                6 => self.skip(8)?,
                _ => self.texts(1)?,
            }
        }
        Some(())
    }

    fn table(&mut self, depth: u32) -> Option<()> {
        let end = self.end()?;
        while self.at < end {
            self.texts(1)?;
            self.value(depth)?;
        }
        Some(())
    }

    fn list(&mut self, depth: u32) -> Option<()> {
        let end = self.end()?;
        while self.at < end {
            self.value(depth)?;
        }
        Some(())
    }

    fn value(&mut self, depth: u32) -> Option<()> {
        let kind = self.bytes.get_mut(self.at)?;
        if matches!(kind, b'F' | b'A') && depth >= DEEPEST {
            // Bytes are laid out in the same way: a length and what is in it.
            *kind = b'x';
        }
        let kind = *kind;
        self.skip(1)?;
        match kind {
            b't' | b'b' | b'B' => self.skip(1),
            b's' | b'u' | b'U' => self.skip(2),
            b'I' | b'i' | b'f' => self.skip(4),
            b'D' => self.skip(5),
            b'L' | b'l' | b'd' | b'T' => self.skip(8),
            b'S' | b'x' => {
                self.at = self.end()?;
                Some(())
            }
            b'F' => self.table(depth + 1),
            b'A' => self.list(depth + 1),
            b'V' => Some(()),
            _ => None,
        }
    }

    fn texts(&mut self, count: usize) -> Option<()> {
        for _ in 0..count {
            let length = usize::try_from(self.number(1)?).ok()?;
            make_text(self.bytes.get_mut(self.at..self.at + length)?);
            self.skip(length)?;
        }
        Some(())
    }

    /// Where that ends whose length stands here.
    fn end(&mut self) -> Option<usize> {
        let length = usize::try_from(self.number(4)?).ok()?;
        let end = self.at.checked_add(length)?;
        (end <= self.bytes.len()).then_some(end)
    }

    fn number(&mut self, length: usize) -> Option<u64> {
        let bytes = self.bytes.get(self.at..self.at + length)?;
        self.at += length;
        Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn skip(&mut self, length: usize) -> Option<()> {
        self.at = self.at.checked_add(length).filter(|at| *at <= self.bytes.len())?;
        Some(())
    }
}

fn make_text(mut bytes: &mut [u8]) {
    while let Err(error) = std::str::from_utf8(bytes) {
        let (from, length) = (error.valid_up_to(), error.error_len());
        let to = length.map_or(bytes.len(), |length| from + length);
        bytes.get_mut(from..to).unwrap_or_default().fill(SUBSTITUTE);
        bytes = bytes.get_mut(to..).unwrap_or_default();
    }
}

/// The runtime's reactor, as the library wants one for connections of this kind. It makes none itself: `connection` does.
#[derive(Clone, Debug)]
pub(super) struct Mending(pub Tokio);

impl Reactor for Mending {
    type TcpStream = Mended;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: io::Read + io::Write + Send + 'static>(
        &self,
        _: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        Err::<Mended, _>(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Mended>> + Send + 'static {
        let connecting = self.0.tcp_connect_addr(address);
        async { Ok(Mended::new(AsyncTcpStream::Plain(connecting.await?))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of a kind, with what it holds.
    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[kind, 0, 1], &size[..], payload, &[0xce]].concat()
    }

    /// A content header whose only property is the message's id.
    fn header(id: &[u8]) -> Vec<u8> {
        let length = u8::try_from(id.len()).unwrap();
        frame(2, &[&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0x80, length], id].concat())
    }

    fn mended(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut mender, mut all) = (Mender::default(), Vec::new());
        for piece in pieces {
            mender.take(piece);
            let mut buffer = [0; 5];
            while !mender.is_waiting() {
                let count = mender.give(&mut buffer);
                all.extend_from_slice(&buffer[..count]);
            }
        }
        all
    }

    #[test]
    fn frames_are_mended_however_they_come_in() {
        let came = [header("Grüße".as_bytes()), header(b"a\xff\xc3(\xe2\x82"), frame(3, b"\xff{}")].concat();
        let expected =
            [header("Grüße".as_bytes()), header(b"a\x1a\x1a(\x1a\x1a"), frame(3, b"\xff{}")].concat();
        assert_eq!(mended(&[&came]), expected);
        assert_eq!(mended(&came.chunks(1).collect::<Vec<_>>()), expected);
        assert_eq!(mended(&came.chunks(7).collect::<Vec<_>>()), expected);
    }

    #[test]
    fn a_refusal_of_the_version_is_handed_on() {
        assert_eq!(mended(&[b"AMQP", b"\0\0\x09\x01"]), b"AMQP\0\0\x09\x01");
    }

    #[test]
    fn the_deepest_tables_become_bytes() {
        let mut value = vec![b'V'];
        for _ in 0..2000 {
            value = [b"A", &u32::try_from(value.len()).unwrap().to_be_bytes()[..], &value].concat();
        }
        let table = [&[1, b'k'], &value[..]].concat();
        let length = u32::try_from(table.len()).unwrap().to_be_bytes();
        let came = frame(2, &[&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0x20, 0], &length[..], &table].concat());
        let expected = {
            let mut expected = came.clone();
            let at = 7 + 14 + 4 + 2 + 5 * DEEPEST as usize;
            assert_eq!(expected[at], b'A');
            expected[at] = b'x';
            expected
        };
        assert_eq!(mended(&[&came]), expected);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_are_lost_or_moved(kind in 0..4_u8, payload in proptest::collection::vec(proptest::num::u8::ANY, 0..80), size in 1..30_usize) {
            let came = [frame(kind, &payload), frame(3, b"after")].concat();
            let mended = mended(&came.chunks(size).collect::<Vec<_>>());
            proptest::prop_assert_eq!(mended.len(), came.len());
            let changed = |(was, is): (&u8, &u8)| was != is && ![SUBSTITUTE, b'x'].contains(is);
            proptest::prop_assert!(!came.iter().zip(&mended).any(changed));
        }
    }
}
