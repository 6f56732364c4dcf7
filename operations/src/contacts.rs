//! People's contacts under a new key: read, opened with the key that sealed them, sealed with the
//! current one, and written back where nobody changed them meanwhile.
//!
//! What is done isn't looked at again, so a run that was interrupted goes on where it stopped, and
//! one that comes again finds nothing.

use schemas::UserId;
use serde::Serialize;
use sinks::sealing::{KeyRing, Sealed, SealingError, Subject};
use sqlx::PgPool;
use uuid::Uuid;

use crate::commands::{TEXT_BYTES_MAX, checked};

/// How many people are seen to in one transaction.
const BATCH: i64 = 500;

/// What a run has come to. JSON: its fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Resealing {
    /// The key that seals.
    pub key_id: i32,
    /// People with a contact under another key, when the run began.
    pub found: u64,
    /// People whose contacts are under the key now.
    pub resealed: u64,
    /// People whose contacts were changed by somebody else meanwhile: another run sees to those
    /// that need it.
    pub changed_meanwhile: u64,
    /// People whose contacts no key opens: they are left as they are.
    pub unreadable: Vec<UserId>,
}

/// Why not every contact was seen to. Repeating the run does what is left.
#[derive(Debug, thiserror::Error)]
pub enum ResealError {
    /// An author that says nothing, or too much.
    #[error("the author must be a text of 1 to {TEXT_BYTES_MAX} bytes without NULs")]
    Author,
    /// A contact can't be sealed.
    #[error("a contact can't be sealed: {0}")]
    Sealing(SealingError),
    /// The database fails.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
}

/// A contact as it stands in its column, if there is one.
type Contact = Option<Vec<u8>>;

/// Columns of a batch.
#[derive(Default)]
struct Batch {
    users: Vec<Uuid>,
    old_phones: Vec<Contact>,
    old_emails: Vec<Contact>,
    new_phones: Vec<Contact>,
    new_emails: Vec<Contact>,
}

/// Seals every contact with the ring's current key; `progress` is told after each batch. `pool` is
/// an operator's.
///
/// # Errors
/// See [`ResealError`].
pub async fn reseal(
    pool: &PgPool,
    keys: &KeyRing,
    author: &str,
    mut progress: impl FnMut(&Resealing),
) -> Result<Resealing, ResealError> {
    let author = checked(author).ok_or(ResealError::Author)?;
    let key_id = keys.current();
    let found: i64 = sqlx::query_scalar("SELECT count(*) FROM contacts_to_reseal($1, $2, NULL)")
        .bind(key_id)
        .bind(Uuid::nil())
        .fetch_one(pool)
        .await?;
    let mut run = Resealing {
        key_id,
        found: found.unsigned_abs(),
        ..Resealing::default()
    };
    let mut after = Uuid::nil();
    loop {
        let people: Vec<(Uuid, Contact, Contact)> =
            sqlx::query_as("SELECT * FROM contacts_to_reseal($1, $2, $3)")
                .bind(key_id)
                .bind(after)
                .bind(BATCH)
                .fetch_all(pool)
                .await?;
        let Some((last, ..)) = people.last() else {
            break;
        };
        after = *last;
        let mut batch = Batch::default();
        for (user, phone, email) in people {
            match resealed(keys, UserId::new(user), (&phone, &email))? {
                Some((new_phone, new_email)) => {
                    batch.users.push(user);
                    batch.old_phones.push(phone);
                    batch.old_emails.push(email);
                    batch.new_phones.push(new_phone);
                    batch.new_emails.push(new_email);
                }
                None => run.unreadable.push(UserId::new(user)),
            }
        }
        let written = write(pool, &batch).await?;
        run.resealed += written;
        run.changed_meanwhile += batch.users.len() as u64 - written;
        progress(&run);
    }
    if run.resealed > 0 {
        note(pool, author, &run).await?;
    }
    Ok(run)
}

/// Both contacts under the current key; `None` where one can't be opened.
fn resealed(
    keys: &KeyRing,
    user: UserId,
    (phone, email): (&Contact, &Contact),
) -> Result<Option<(Contact, Contact)>, ResealError> {
    let under_current = |subject, bytes: &Contact| -> Result<_, SealingError> {
        let Some(bytes) = bytes else { return Ok(None) };
        let sealed = Sealed::from_bytes(bytes).ok_or(SealingError::DoesNotOpen(0))?;
        let rewrapped = keys.rewrap(subject, &sealed)?;
        Ok(Some(
            rewrapped.map_or_else(|| bytes.clone(), |sealed| sealed.to_bytes()),
        ))
    };
    let contacts = under_current(Subject::Phone(user), phone)
        .and_then(|phone| Ok((phone, under_current(Subject::Email(user), email)?)));
    match contacts {
        Ok(contacts) => Ok(Some(contacts)),
        Err(SealingError::UnknownKey(_) | SealingError::DoesNotOpen(_)) => Ok(None),
        Err(error @ (SealingError::Keys | SealingError::Encryption)) => {
            Err(ResealError::Sealing(error))
        }
    }
}

async fn write(pool: &PgPool, batch: &Batch) -> Result<u64, ResealError> {
    let written: i64 = sqlx::query_scalar("SELECT reseal_contacts($1, $2, $3, $4, $5)")
        .bind(&batch.users)
        .bind(&batch.old_phones)
        .bind(&batch.old_emails)
        .bind(&batch.new_phones)
        .bind(&batch.new_emails)
        .fetch_one(pool)
        .await?;
    Ok(written.unsigned_abs())
}

async fn note(pool: &PgPool, author: &str, run: &Resealing) -> Result<(), ResealError> {
    sqlx::query(
        "INSERT INTO audit_log (author, action, subject, detail)
         VALUES ($1, 'reseal_contacts', 'users', jsonb_build_object(
             'key_id', $2::int, 'resealed', $3::bigint, 'unreadable', $4::bigint))",
    )
    .bind(author)
    .bind(run.key_id)
    .bind(i64::try_from(run.resealed).unwrap_or(i64::MAX))
    .bind(i64::try_from(run.unreadable.len()).unwrap_or(i64::MAX))
    .execute(pool)
    .await?;
    Ok(())
}
