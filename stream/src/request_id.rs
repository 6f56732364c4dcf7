//! Which request a record came from: one name from the caller's headers through the process's own
//! log lines to the records that the request appends.

use tokio::task_local;

use crate::NewRecord;

/// The header of a record that names the request.
pub const HEADER: &str = "request-id";

task_local! {
    static CURRENT: String;
}

/// Runs a request under its name. What it spawns runs without.
pub async fn scope<F: Future>(request_id: String, request: F) -> F::Output {
    CURRENT.scope(request_id, request).await
}

/// The name of the request that is being answered, if any is.
pub fn current() -> Option<String> {
    CURRENT.try_with(Clone::clone).ok()
}

impl NewRecord {
    /// With the name of the request that is being answered, if any is.
    #[must_use]
    pub fn of_current_request(self) -> Self {
        match current() {
            Some(request_id) => self.with_header(HEADER, request_id),
            None => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_record_names_the_request_that_it_was_appended_in() {
        let record = scope("abc".to_owned(), async {
            NewRecord::new("k", "v").of_current_request()
        })
        .await;
        assert_eq!(record.headers[0].name, HEADER);
        assert_eq!(record.headers[0].value, "abc");
        assert!(
            NewRecord::new("k", "v")
                .of_current_request()
                .headers
                .is_empty()
        );
    }
}
