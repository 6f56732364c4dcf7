//! Bodies are read piece by piece: what is over the limit is never held in memory.

use axum::body::{Body, HttpBody};
use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::{rejection::Rejection, settings::Limits};

/// What arrived of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReceivedBody {
    /// The body, or its head if it is over the limit.
    pub(crate) bytes: Vec<u8>,
    /// Whether that is all of it.
    pub(crate) whole: bool,
}

/// Reads a postback's body, up to `body_bytes_max`. Of what exceeds that, up to
/// `excess_bytes_max` is read and thrown away, so that the sender, who may not look for an answer
/// before it has sent everything, gets to see it. `each` sees every piece that is read.
pub(crate) async fn read_body(
    body: Body,
    limits: &Limits,
    mut each: impl FnMut(&[u8]),
) -> Result<ReceivedBody, Rejection> {
    if body.is_end_stream() {
        // Most postbacks have none, and need no timer.
        return Ok(ReceivedBody {
            bytes: Vec::new(),
            whole: true,
        });
    }
    let read = async {
        let mut body = body;
        let mut received = ReceivedBody {
            bytes: Vec::new(),
            whole: true,
        };
        let mut excess = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Rejection::BodyBroken)?;
            // Trailers are no part of the body.
            let Ok(piece) = frame.into_data() else {
                continue;
            };
            each(&piece);
            let room = limits.body_bytes_max - received.bytes.len();
            let kept = &piece[..piece.len().min(room)];
            received.bytes.extend_from_slice(kept);
            excess += piece.len() - kept.len();
            if excess > 0 {
                received.whole = false;
            }
            if excess > limits.excess_bytes_max {
                break;
            }
        }
        Ok(received)
    };
    timeout(limits.body_timeout, read)
        .await
        .unwrap_or(Err(Rejection::BodyTimeout))
}

/// Reads a click's body, which has no business being large.
pub(crate) async fn read_small_body(body: Body, limits: &Limits) -> Result<Vec<u8>, Rejection> {
    let small = Limits {
        body_bytes_max: limits.click_bytes_max,
        excess_bytes_max: limits.click_bytes_max,
        ..limits.clone()
    };
    let received = read_body(body, &small, |_| {}).await?;
    if received.whole {
        Ok(received.bytes)
    } else {
        Err(Rejection::BodyTooLarge)
    }
}
