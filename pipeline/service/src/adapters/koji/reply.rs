//! A reply while it comes in: read on a thread of its own, so that never more of it is in memory than a few pieces and
//! what is wanted of it.
//!
//! It knows the size of a reply and of a text in it; what they say is not known here.

use std::io::{self, BufRead, Read};

use axum::body::Bytes;
use reqwest::Response;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::xml::{self, Reply};

/// The largest reply that is read. A tag with 25,000 builds is told in 60 MB, one task in 3 KB.
const LARGEST: usize = 96 << 20;

/// The longest text in a reply. What failed tasks say has kilobytes.
const LONGEST: usize = 16 << 20;

/// How many pieces wait to be read; the connection makes them half a megabyte at the most.
const AHEAD: usize = 4;

/// Why a reply could not be read.
#[derive(Debug)]
pub(super) enum Fault {
    /// It broke off.
    BrokeOff(reqwest::Error),
    /// It is none, or none that is read.
    Garbled(String),
}

/// Reads a reply.
pub(super) async fn read<T: DeserializeOwned + Send + 'static>(
    mut response: Response,
) -> Result<Reply<T>, Fault> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let reading = spawn_blocking(move || xml::read_reply(Pieces { receiver, piece: Bytes::new() }));
    let mut limits = Limits::default();
    let came = loop {
        match response.chunk().await {
            Ok(Some(piece)) => {
                if let Err(why) = limits.take(&piece) {
                    break Err(Fault::Garbled(why));
                }
                if sender.send(piece).await.is_err() {
                    // The reader has seen enough: it says what.
                    break Ok(());
                }
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(Fault::BrokeOff(error)),
        }
    };
    drop(sender);
    let read = reading.await.map_err(|error| Fault::Garbled(error.to_string()))?;
    came.and_then(|()| read.map_err(|error| Fault::Garbled(error.to_string())))
}

/// How much came.
#[derive(Debug, Default)]
struct Limits {
    all: usize,
    since_tag: usize,
}

impl Limits {
    fn take(&mut self, piece: &[u8]) -> Result<(), String> {
        self.all += piece.len();
        self.since_tag = match piece.iter().rposition(|byte| *byte == b'<') {
            Some(last) => piece.len() - last,
            None => self.since_tag + piece.len(),
        };
        if self.all > LARGEST {
            return Err(format!("it is larger than {} MiB", LARGEST >> 20));
        }
        if self.since_tag > LONGEST {
            return Err(format!("it has a text of more than {} MiB", LONGEST >> 20));
        }
        Ok(())
    }
}

/// What came, for a reader on a thread that may wait.
struct Pieces {
    receiver: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl BufRead for Pieces {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => break,
            }
        }
        Ok(&self.piece)
    }

    fn consume(&mut self, amount: usize) {
        drop(self.piece.split_to(amount));
    }
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}
