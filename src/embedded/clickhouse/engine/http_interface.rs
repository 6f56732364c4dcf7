//! Answers requests of ClickHouse's HTTP interface: what the `clickhouse` crate uses of it, and
//! `/ping`.

use std::convert::Infallible;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyDataStream, BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::sync::{mpsc, oneshot};

use super::execution::{self, Answer, Chunk, InsertPart, Summary};
use super::failure::EngineFailure;
use super::request::StatementRequest;
use super::session::Session;
use super::statement::Statement;
use super::workers::Workers;

/// Pieces of a body under way between a connection and its session, either way.
const PIECES_UNDER_WAY: usize = 4;

/// How much of an INSERT's data is taken before it gets a session.
const BYTES_BEFORE_SESSION: usize = 8 << 20;

/// The body of an answer.
pub(super) type AnswerBody = UnsyncBoxBody<Bytes, Infallible>;

/// Answers one request. Failures are answers too.
pub(super) async fn answer(request: Request<Incoming>, workers: Workers) -> Response<AnswerBody> {
    let (parts, body) = request.into_parts();
    if parts.uri.path() == "/ping" {
        return Response::new(full("Ok.\n"));
    }
    let outcome = match StatementRequest::read(&parts, body).await {
        Ok(request) => run(request, workers).await,
        Err(failure) => Err(failure),
    };
    outcome.unwrap_or_else(|failure| failed(&failure))
}

async fn run(
    request: StatementRequest,
    workers: Workers,
) -> Result<Response<AnswerBody>, EngineFailure> {
    let StatementRequest {
        text,
        statement,
        session: wanted,
        default_format,
        decompress,
        wait_for_end,
        body,
    } = request;
    match statement {
        Statement::Insert { head, format, data } => {
            let mut data = InsertData::begin(text.slice(data), body).await?;
            let (parts, incoming) = mpsc::channel(PIECES_UNDER_WAY);
            let head = text.slice(head);
            let outcome = submit(&workers, move |session| {
                session.run(&wanted, |connection| {
                    let parameters = &wanted.parameters;
                    execution::insert(connection, &head, &format, parameters, incoming, decompress)
                })
            });
            data.send(parts).await;
            let summary = finished(outcome.await)?;
            Ok(with_summary(Response::new(full("")), &summary))
        }
        Statement::Select { format } if !wait_for_end => {
            let format = format.unwrap_or(default_format);
            let (answer, first) = oneshot::channel();
            let (chunks, rest) = mpsc::channel(PIECES_UNDER_WAY);
            workers.submit(Box::new(move |session| {
                let answer = Answer::new(answer, chunks);
                answer.give(|answer| {
                    session.run(&wanted, |connection| {
                        execution::select(connection, &text, &format, &wanted.parameters, answer)
                    })
                });
            }));
            finished(first.await)?;
            Ok(streamed(rest))
        }
        Statement::Select { format } | Statement::Other { format } => {
            let format = format.unwrap_or(default_format);
            let outcome = submit(&workers, move |session| {
                session.run(&wanted, |connection| {
                    execution::query(connection, &text, &format, &wanted.parameters)
                })
            });
            let (result, summary) = finished(outcome.await)?;
            Ok(with_summary(Response::new(full(result)), &summary))
        }
    }
}

/// Queues `work` for a session; the outcome comes through the returned channel.
fn submit<T: Send + 'static>(
    workers: &Workers,
    work: impl FnOnce(&mut Session) -> Result<T, EngineFailure> + Send + 'static,
) -> oneshot::Receiver<Result<T, EngineFailure>> {
    let (sender, outcome) = oneshot::channel();
    workers.submit(Box::new(move |session| {
        // A client that went away doesn't wait for the outcome.
        let _ = sender.send(work(session));
    }));
    outcome
}

fn finished<T>(
    outcome: Result<Result<T, EngineFailure>, oneshot::error::RecvError>,
) -> Result<T, EngineFailure> {
    outcome.unwrap_or_else(|_| Err(EngineFailure::ours("the session ended")))
}

/// The data of an INSERT: what came so far, and the rest.
struct InsertData {
    first: Vec<InsertPart>,
    /// `None` when everything has come.
    rest: Option<BodyDataStream<Incoming>>,
}

impl InsertData {
    /// Reads the beginning of the data, so that a client which leaves an INSERT open for long, with
    /// little in it, holds no session meanwhile.
    async fn begin(inline: Bytes, body: Option<Incoming>) -> Result<Self, EngineFailure> {
        let mut first = vec![InsertPart::Inline(inline)];
        let mut rest = body.map(BodyExt::into_data_stream);
        let mut bytes = 0;
        while let Some(frames) = &mut rest
            && bytes < BYTES_BEFORE_SESSION
        {
            match frames.next().await {
                Some(Ok(data)) => {
                    bytes += data.len();
                    first.push(InsertPart::Body(data));
                }
                Some(Err(failure)) => {
                    tracing::warn!(%failure, "an INSERT broke off");
                    return Err(EngineFailure::bad_arguments(
                        "the data of the INSERT broke off",
                    ));
                }
                None => rest = None,
            }
        }
        Ok(Self { first, rest })
    }

    /// Passes the data on, and its end only if it came whole: a client that breaks off must not
    /// have half its rows inserted.
    ///
    /// A session that takes no more has failed already. The body is read to its end all the same,
    /// because the client hears of the failure only then.
    async fn send(&mut self, parts: mpsc::Sender<InsertPart>) {
        for part in self.first.drain(..) {
            let _ = parts.send(part).await;
        }
        while let Some(frames) = &mut self.rest {
            match frames.next().await {
                Some(Ok(data)) => {
                    let _ = parts.send(InsertPart::Body(data)).await;
                }
                Some(Err(failure)) => {
                    tracing::warn!(%failure, "an INSERT broke off");
                    return;
                }
                None => self.rest = None,
            }
        }
        let _ = parts.send(InsertPart::End).await;
    }
}

/// A result that is still coming. A failure on the way is told at its end, in the form that
/// ClickHouse gives it since 25.11.
fn streamed(rest: mpsc::Receiver<Result<Chunk, EngineFailure>>) -> Response<AnswerBody> {
    let tag: String = std::iter::repeat_with(|| char::from(b'a' + rand::random_range(0..26_u8)))
        .take(16)
        .collect();
    let header = HeaderValue::from_str(&tag).expect("letters make a header's value");
    let frames = stream::unfold((rest, tag), |(mut rest, tag)| async move {
        let bytes = match rest.recv().await? {
            Ok(chunk) => chunk,
            Err(failure) => late_failure(&failure, &tag),
        };
        Some((Ok(Frame::data(bytes)), (rest, tag)))
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    response
        .headers_mut()
        .insert("X-ClickHouse-Exception-Tag", header);
    response
}

fn late_failure(failure: &EngineFailure, tag: &str) -> Bytes {
    let message = failure.message();
    let length = message.len() + 1;
    Bytes::from(format!(
        "\r\n__exception__\r\n{tag}\r\n{message}\n{length} {tag}\r\n__exception__\r\n"
    ))
}

fn failed(failure: &EngineFailure) -> Response<AnswerBody> {
    let mut response = Response::new(full(format!("{}\n", failure.message())));
    *response.status_mut() = failure.status();
    debug_assert_ne!(failure.status(), StatusCode::OK);
    response.headers_mut().insert(
        "X-ClickHouse-Exception-Code",
        HeaderValue::from(failure.code()),
    );
    response
}

fn with_summary(mut response: Response<AnswerBody>, summary: &Summary) -> Response<AnswerBody> {
    let text = format!(
        r#"{{"read_rows":"{}","written_rows":"{}"}}"#,
        summary.rows_read, summary.rows_written
    );
    let header = HeaderValue::from_str(&text).expect("digits and quotes make a header's value");
    response
        .headers_mut()
        .insert("X-ClickHouse-Summary", header);
    response
}

fn full(body: impl Into<Bytes>) -> AnswerBody {
    Full::new(body.into()).boxed_unsync()
}
