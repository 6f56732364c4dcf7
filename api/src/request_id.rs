//! The name of a request: the caller's `X-Request-Id`, or one of ours. It is in every log line of
//! the request, in the answer's header, and in each record that the request appends.

use axum::{
    Router,
    extract::Request,
    middleware::{self, Next},
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use tracing::Instrument;
use uuid::Uuid;

const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Longer ones are no names.
const BYTES_MAX: usize = 64;

/// Names every request of a router.
pub fn with_request_ids(router: Router) -> Router {
    router.layer(middleware::from_fn(name))
}

async fn name(request: Request, next: Next) -> Response {
    let request_id =
        given(request.headers()).unwrap_or_else(|| Uuid::new_v4().simple().to_string());
    let span = tracing::info_span!(
        "request", request_id, method = %request.method(), path = request.uri().path()
    );
    let header = HeaderValue::from_str(&request_id).expect("checked, or hexadecimal");
    let answer = stream::request_id::scope(request_id, next.run(request)).instrument(span);
    let mut response = answer.await;
    response.headers_mut().insert(HEADER, header);
    response
}

/// The caller's, where it is one that can stand in a log line as it is.
fn given(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(HEADER)?.to_str().ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let usable = (1..=BYTES_MAX).contains(&text.len()) && text.bytes().all(plain);
    usable.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, routing::get};
    use tower::ServiceExt;

    use super::*;

    async fn answered(sent: Option<&'static str>) -> (String, String) {
        let handler = async || stream::request_id::current().expect("a name");
        let router = with_request_ids(Router::new().route("/", get(handler)));
        let mut request = http::Request::get("/");
        if let Some(sent) = sent {
            request = request.header(HEADER, sent);
        }
        let request = request.body(Body::empty()).expect("a request");
        let response = router.oneshot(request).await.expect("answered");
        let header = response.headers()[HEADER]
            .to_str()
            .expect("text")
            .to_owned();
        let body = axum::body::to_bytes(response.into_body(), 1_000)
            .await
            .expect("a body");
        (header, String::from_utf8(body.to_vec()).expect("text"))
    }

    #[tokio::test]
    async fn a_name_is_taken_where_it_is_one_and_else_made() {
        for sent in ["a", "7f6f1ab4-8f0c-4a57", "order_17.retry"] {
            assert_eq!(
                answered(Some(sent)).await,
                (sent.to_owned(), sent.to_owned())
            );
        }
        for sent in [None, Some(""), Some("a b"), Some("a\"}"), Some("é")] {
            let (header, inside) = answered(sent).await;
            assert_eq!((header.len(), &header), (32, &inside), "{sent:?}");
        }
    }
}
