//! The standard input, read by a thread of its own: reading it waits for who writes there, and nobody can call that off.
//!
//! There is one for the whole process, which ends with it. What it read is taken by whichever source asks next.

use std::io::Read;
use std::sync::OnceLock;

use crossbeam_channel::{Receiver, bounded};

use crate::base::error::Result;

/// Bytes read at once, and how many such pieces wait to be taken.
const CHUNK: usize = 1 << 16;
const CHUNKS: usize = 16;

/// The bytes of the standard input as they come.
///
/// # Errors
/// The system starts no more threads.
pub fn feed() -> Result<Receiver<Vec<u8>>> {
    static FEED: OnceLock<Receiver<Vec<u8>>> = OnceLock::new();
    if let Some(feed) = FEED.get() {
        return Ok(feed.clone());
    }
    let (sender, receiver) = bounded(CHUNKS);
    let feed = FEED.get_or_init(|| receiver.clone()).clone();
    if feed.same_channel(&receiver) {
        std::thread::Builder::new().name("eddy-stdin".into()).spawn(move || {
            let mut chunk = vec![0; CHUNK];
            while let Ok(length) = std::io::stdin().lock().read(&mut chunk) {
                if length == 0 || sender.send(chunk[..length].to_vec()).is_err() {
                    break;
                }
            }
        })?;
    }
    Ok(feed)
}
