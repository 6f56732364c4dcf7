//! Reference data from a file: tenants, people, networks, offers, campaigns, links; rates, rules
//! and locked books.
//!
//! Reference data is append-only versions (design section 1). So an import only adds: what is
//! there already stays as it is, and a version that could change what was decided takes effect at
//! least 60 seconds after it is saved, so that no two instances differ about an instant that has
//! passed. All that is wrong with a file is said at once, by field, and nothing of it is saved.

mod editions;
pub mod file;
mod known;
mod problem;
mod supposed;
pub mod validation;
mod versions;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use schemas::{Timestamp, UserId, contact::ContactKey, events::PayoutMeans};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use sinks::sealing::{KeyRing, SealingError, Subject};
use sqlx::{PgConnection, PgPool, Postgres};

pub use file::ReferenceFile;
pub use known::{Known, KnownOffer};
pub use problem::{Problem, Problems};
pub use supposed::suppose;

use file::{Campaign, Link, Member, Network, Offer, PayoutMethod, Tenant, User};
use validation::Notice;

/// Imports go one at a time: what one is checked against is what it is saved to.
const LOCK: &str = "hissaback.reference_import";
/// A version that gives 60 seconds' notice is seen by every instance in time if saving takes no
/// longer than this: snapshots are refreshed every 10.
const SAVING_MAX: Duration = Duration::from_secs(30);

/// The keys of people's contacts: one to compare them by, and a ring to keep them under.
#[derive(Clone)]
pub struct Contacts {
    /// Hashes for comparison.
    pub hashed: ContactKey,
    /// Seals for those who need the plain text.
    pub sealed: KeyRing,
}

impl Contacts {
    /// A key to compare contacts by, and keys to keep them under, as [`KeyRing::parse`] reads them.
    ///
    /// # Errors
    /// When the ring can't be read.
    pub fn new(hashed: ContactKey, sealed: &SecretString) -> Result<Self, SealingError> {
        let sealed = KeyRing::parse(sealed)?;
        Ok(Self { hashed, sealed })
    }

    /// A person's phone number as `users.phone_sealed` keeps it.
    ///
    /// # Errors
    /// When it can't be sealed.
    pub fn seal_phone(
        &self,
        user_id: UserId,
        phone: &SecretString,
    ) -> Result<Vec<u8>, SealingError> {
        let sealed = self.sealed.seal(Subject::Phone(user_id), phone)?;
        Ok(sealed.to_bytes())
    }
}

/// Why a file isn't taken.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// It says what can't be meant, or contradicts what is saved.
    #[error("the reference data is refused, and nothing of it was saved:\n{0}")]
    Refused(Problems),
    /// Another import holds the lock.
    #[error("another import is under way: try again when it is done")]
    Busy,
    /// It took so long that versions would take effect too soon after they are saved.
    #[error("saving took over {} seconds, and nothing was saved: give later versions more notice", SAVING_MAX.as_secs())]
    TooSlow,
    /// The database doesn't answer, or refuses what the file alone doesn't tell: a user that isn't
    /// there, a slug that is taken.
    #[error("the database refuses the reference data")]
    Database(#[from] sqlx::Error),
    /// A phone number or an e-mail address can't be sealed.
    #[error("a contact can't be sealed")]
    Sealing(#[from] SealingError),
}

/// Not as a source: the message holds every line of it already.
impl From<Problems> for ReferenceError {
    fn from(problems: Problems) -> Self {
        Self::Refused(problems)
    }
}

/// What an import added: rows by table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Added(BTreeMap<&'static str, u64>);

impl Added {
    /// Rows of all tables.
    pub fn rows(&self) -> u64 {
        self.0.values().sum()
    }

    /// Rows of each table that any were added to.
    pub fn by_table(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let added = self.0.iter().filter(|(_, rows)| **rows > 0);
        added.map(|(table, rows)| (*table, *rows))
    }

    fn count(&mut self, table: &'static str, rows: u64) {
        *self.0.entry(table).or_default() += rows;
    }
}

/// Adds what a file holds, all of it or nothing. `now` is the time of saving.
///
/// # Errors
/// When the file is refused, another import is under way, or the database refuses.
pub async fn import(
    pool: &PgPool,
    file: &ReferenceFile,
    contacts: &Contacts,
    now: Timestamp,
) -> Result<Added, ReferenceError> {
    let started = Instant::now();
    let mut transaction = pool.begin().await?;
    let outcome = match add(&mut transaction, file, contacts, now).await {
        Ok((_, Notice::Given)) if started.elapsed() > SAVING_MAX => Err(ReferenceError::TooSlow),
        outcome => outcome.map(|(added, _)| added),
    };
    match outcome {
        Ok(_) => transaction.commit().await?,
        // Before this returns: else the next import may find this one under way.
        Err(_) => transaction.rollback().await?,
    }
    outcome
}

/// Tells what an import would add, and adds nothing.
///
/// # Errors
/// As [`import`].
pub async fn rehearse(
    pool: &PgPool,
    file: &ReferenceFile,
    contacts: &Contacts,
    now: Timestamp,
) -> Result<Added, ReferenceError> {
    let mut transaction = pool.begin().await?;
    let outcome = add(&mut transaction, file, contacts, now).await;
    transaction.rollback().await?;
    outcome.map(|(added, _)| added)
}

async fn add(
    connection: &mut PgConnection,
    file: &ReferenceFile,
    contacts: &Contacts,
    now: Timestamp,
) -> Result<(Added, Notice), ReferenceError> {
    let alone: bool = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock(hashtext($1))")
        .bind(LOCK)
        .fetch_one(&mut *connection)
        .await?;
    if !alone {
        return Err(ReferenceError::Busy);
    }
    let known = Known::load(connection).await?;
    let plan = validation::plan(file, &known, now)?;
    let mut import = Import {
        connection,
        contacts,
        now,
        added: Added::default(),
    };
    import.tenants(&file.tenants).await?;
    import.people(&file.users, &file.members).await?;
    import.payout_methods(&file.payout_methods).await?;
    import.networks(&file.networks).await?;
    import.offers(&file.offers).await?;
    import.campaigns(&file.campaigns).await?;
    import.links(&file.links).await?;
    import.compare(&plan.saved).await?;
    import.versions(&plan.further).await?;
    Ok((import.added, plan.notice))
}

struct Import<'a> {
    connection: &'a mut PgConnection,
    contacts: &'a Contacts,
    now: Timestamp,
    added: Added,
}

type Insert<'q> = sqlx::query::Query<'q, Postgres, sqlx::postgres::PgArguments>;

impl Import<'_> {
    async fn insert(&mut self, table: &'static str, insert: Insert<'_>) -> sqlx::Result<()> {
        let done = insert.execute(&mut *self.connection).await?;
        self.added.count(table, done.rows_affected());
        Ok(())
    }

    async fn tenants(&mut self, tenants: &[Tenant]) -> sqlx::Result<()> {
        for tenant in tenants {
            let insert = sqlx::query(
                "INSERT INTO tenants (tenant_id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            )
            .bind(tenant.tenant_id.uuid())
            .bind(&tenant.name);
            self.insert("tenants", insert).await?;
        }
        Ok(())
    }

    async fn people(&mut self, users: &[User], members: &[Member]) -> Result<(), ReferenceError> {
        for user in users {
            let Contacts { hashed, sealed } = self.contacts;
            let phone = user
                .phone
                .as_deref()
                .filter(|phone| !phone.trim().is_empty());
            let email = user
                .email
                .as_deref()
                .filter(|email| !email.trim().is_empty());
            let seal = |subject, text: Option<&str>| {
                text.map(|text| sealed.seal(subject, &text.into()))
                    .transpose()
            };
            let phone_sealed = seal(Subject::Phone(user.user_id), phone)?;
            let email_sealed = seal(Subject::Email(user.user_id), email)?;
            let insert = sqlx::query(
                "INSERT INTO users (user_id, phone_sealed, email_sealed, phone_hash, email_hash,
                                    kyc_hash)
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (user_id) DO NOTHING",
            )
            .bind(user.user_id.uuid())
            .bind(phone_sealed.map(|sealed| sealed.to_bytes()))
            .bind(email_sealed.map(|sealed| sealed.to_bytes()))
            .bind(phone.map(|phone| hashed.phone(phone)))
            .bind(email.map(|email| hashed.email(email)))
            .bind(&user.kyc_hash);
            let known = self.added.rows();
            self.insert("users", insert).await?;
            if let (Some(phone), true) = (phone, self.added.rows() == known) {
                self.phone(user.user_id, phone).await?;
            }
        }
        for member in members {
            let insert = sqlx::query(
                "INSERT INTO tenant_members (tenant_id, user_id, since) VALUES ($1, $2, $3)
                 ON CONFLICT DO NOTHING",
            )
            .bind(member.tenant_id.uuid())
            .bind(member.user_id.uuid())
            .bind(member.since.to_datetime());
            self.insert("tenant_members", insert).await?;
        }
        Ok(())
    }

    /// For a person who is there without a number; one that is there is not replaced.
    async fn phone(&mut self, user_id: UserId, phone: &str) -> Result<(), ReferenceError> {
        let Contacts { hashed, sealed } = self.contacts;
        let sealed = sealed.seal(Subject::Phone(user_id), &phone.into())?;
        let added: bool = sqlx::query_scalar("SELECT add_phone($1, $2, $3)")
            .bind(user_id.uuid())
            .bind(sealed.to_bytes())
            .bind(hashed.phone(phone))
            .fetch_one(&mut *self.connection)
            .await?;
        self.added.count("phone numbers", u64::from(added));
        Ok(())
    }

    async fn payout_methods(&mut self, methods: &[PayoutMethod]) -> Result<(), ReferenceError> {
        for chosen in methods {
            let subject = Subject::Destination(chosen.user_id);
            let destination = chosen.destination.as_deref();
            let sealed = destination
                .map(|destination| self.contacts.sealed.seal(subject, &destination.into()))
                .transpose()?;
            let insert = sqlx::query(
                "INSERT INTO user_payout_methods
                     (user_id, effective_at, method, destination_sealed, saved_at)
                 SELECT $1, $2, $3, $4, $5
                 WHERE NOT EXISTS (SELECT FROM users u
                                   WHERE u.user_id = $1 AND u.erased_at IS NOT NULL)
                 ON CONFLICT (user_id, effective_at) DO NOTHING",
            )
            .bind(chosen.user_id.uuid())
            .bind(chosen.effective_at.to_datetime())
            .bind(&chosen.method)
            .bind(sealed.map(|sealed| sealed.to_bytes()))
            .bind(self.now.to_datetime());
            self.insert("user_payout_methods", insert).await?;
        }
        Ok(())
    }

    async fn networks(&mut self, networks: &[Network]) -> sqlx::Result<()> {
        for network in networks {
            let token = network.security_token.as_deref();
            let insert = sqlx::query(
                "INSERT INTO networks (network_id, name, default_currency, payout_means,
                    fires_at_sale, security_token_sha256, utc_offset_minutes)
                 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
            )
            .bind(network.network_id.get())
            .bind(&network.name)
            .bind(network.default_currency.to_string())
            .bind(match network.payout_means {
                PayoutMeans::Amount => "amount",
                PayoutMeans::Percentage => "percentage",
            })
            .bind(network.fires_at_sale)
            .bind(token.map(|token| hex::encode(Sha256::digest(token))))
            .bind(network.utc_offset_minutes);
            self.insert("networks", insert).await?;
        }
        Ok(())
    }

    async fn offers(&mut self, offers: &[Offer]) -> sqlx::Result<()> {
        for offer in offers {
            let insert = sqlx::query(
                "INSERT INTO offers (offer_id, network_id, brand, category)
                 VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            )
            .bind(offer.offer_id.get())
            .bind(offer.network_id.get())
            .bind(&offer.brand)
            .bind(&offer.category);
            self.insert("offers", insert).await?;
        }
        Ok(())
    }

    async fn campaigns(&mut self, campaigns: &[Campaign]) -> sqlx::Result<()> {
        for campaign in campaigns {
            let insert = sqlx::query(
                "INSERT INTO campaigns (campaign_id, tenant_id, name) VALUES ($1, $2, $3)
                 ON CONFLICT DO NOTHING",
            )
            .bind(campaign.campaign_id.uuid())
            .bind(campaign.tenant_id.uuid())
            .bind(&campaign.name);
            self.insert("campaigns", insert).await?;
        }
        Ok(())
    }

    async fn links(&mut self, links: &[Link]) -> sqlx::Result<()> {
        for link in links {
            let insert = sqlx::query(
                "INSERT INTO links (link_id, tenant_id, campaign_id, offer_id, slug)
                 VALUES ($1, (SELECT tenant_id FROM campaigns WHERE campaign_id = $2), $2, $3, $4)
                 ON CONFLICT (link_id) DO NOTHING",
            )
            .bind(link.link_id.uuid())
            .bind(link.campaign_id.uuid())
            .bind(link.offer_id.get())
            .bind(&link.slug);
            self.insert("links", insert).await?;
        }
        Ok(())
    }
}
