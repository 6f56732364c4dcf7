//! Messages into a file, for development and the demo: nobody's phone rings.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Mutex,
};

use async_trait::async_trait;
use secrecy::ExposeSecret;
use serde_json::json;

use super::{Accepted, Message, SmsError, SmsGateway};

/// Appends each message as one line of JSON. The file holds claim codes, so only its owner reads
/// it.
#[derive(Debug)]
pub struct FileSmsGateway {
    file: Mutex<File>,
}

impl FileSmsGateway {
    /// Opens the file, making it if there is none.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)?;
        Ok(Self {
            file: Mutex::new(file),
        })
    }
}

#[async_trait]
impl SmsGateway for FileSmsGateway {
    async fn send(&self, message: &Message) -> Result<Accepted, SmsError> {
        let line = json!({
            "reference": message.reference.to_string(),
            "to": message.to.expose_secret(),
            "text": message.text.expose_secret(),
        });
        let mut file = self
            .file
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        // One write per line: whoever reads along never sees half of one.
        file.write_all(format!("{line}\n").as_bytes())
            .map_err(|error| SmsError::Unavailable(error.kind().to_string()))?;
        Ok(Accepted::default())
    }

    fn reports_delivery(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use uuid::Uuid;

    use super::*;
    use crate::payouts::sms::Reference;

    #[tokio::test]
    async fn one_private_line_per_message() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("messages.jsonl");
        let message = Message {
            reference: Reference {
                message_id: Uuid::from_u128(1),
                resends: 0,
            },
            to: "+910000000001".into(),
            text: "a\nb".into(),
        };
        for _ in 0..2 {
            let gateway = FileSmsGateway::open(&path).expect("opened");
            gateway.send(&message).await.expect("written");
        }
        let text = std::fs::read_to_string(&path).expect("read");
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["text"], "a\nb");
        let mode = std::fs::metadata(&path)
            .expect("metadata")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
