//! Leases of the instance number inside event ids: two processes never draw the same id (design
//! section 3).

use std::time::Duration;

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::LedgerError;

/// How long a lease lasts on the database's clock; it is renewed at a third of that.
const LEASE_SECONDS: f64 = 60.0;
const RENEW_INTERVAL: Duration = Duration::from_secs(20);

/// An instance number that is this process's.
#[derive(Debug, Clone)]
pub struct InstanceLease {
    pool: PgPool,
    instance: i16,
    holder: String,
}

/// What ends a lease.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Every one of the 512 numbers is leased.
    #[error("all instance numbers are leased; one is free again 60 seconds after its process ends")]
    NoneFree,
    /// Somebody else holds it: drawing on would double ids.
    #[error("the lease of instance {0} was lost")]
    Lost(i16),
    /// The database refused.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl InstanceLease {
    /// Takes the lowest number that is free, or whose lease has run out.
    ///
    /// # Errors
    /// When none is free, or the database refuses.
    pub async fn take(pool: PgPool) -> Result<Self, LeaseError> {
        let holder = uuid::Uuid::new_v4().to_string();
        let instance = Self::take_for(&pool, &holder)
            .await
            .map_err(LedgerError::from)?;
        let instance = instance.ok_or(LeaseError::NoneFree)?;
        Ok(Self {
            pool,
            instance,
            holder,
        })
    }

    async fn take_for(pool: &PgPool, holder: &str) -> sqlx::Result<Option<i16>> {
        let mut transaction = pool.begin().await?;
        // Processes that start together would else see the same number free, and all but one
        // would find none.
        sqlx::query("SELECT pg_advisory_xact_lock(hashtext('hissaback.instances'))")
            .execute(&mut *transaction)
            .await?;
        let instance = sqlx::query_scalar(
            "INSERT INTO event_id_instances (instance, leased_until, holder)
             SELECT number, now() + make_interval(secs => $1), $2
             FROM generate_series(0, 511) AS number
             WHERE NOT EXISTS (SELECT FROM event_id_instances
                               WHERE instance = number AND leased_until > now())
             ORDER BY number LIMIT 1
             ON CONFLICT (instance) DO UPDATE
                SET leased_until = excluded.leased_until, holder = excluded.holder
                WHERE event_id_instances.leased_until <= now()
             RETURNING instance",
        )
        .bind(LEASE_SECONDS)
        .bind(holder)
        .fetch_optional(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(instance)
    }

    /// The number.
    pub fn instance(&self) -> u16 {
        self.instance.unsigned_abs()
    }

    /// Renews the lease until `shutdown`, then gives it back.
    ///
    /// # Errors
    /// When it was lost: the process must draw no more ids.
    pub async fn hold(self, shutdown: CancellationToken) -> Result<(), LeaseError> {
        while shutdown
            .run_until_cancelled(tokio::time::sleep(RENEW_INTERVAL))
            .await
            .is_some()
        {
            match self.renew().await {
                Ok(true) => {}
                Ok(false) => return Err(LeaseError::Lost(self.instance)),
                // The lease outlives two failures; nobody else can take it while the database
                // is away.
                Err(error) => tracing::warn!(%error, "the instance lease could not be renewed"),
            }
        }
        let given_back =
            sqlx::query("DELETE FROM event_id_instances WHERE instance = $1 AND holder = $2")
                .bind(self.instance)
                .bind(&self.holder)
                .execute(&self.pool)
                .await;
        if let Err(error) = given_back {
            tracing::debug!(%error, "the instance lease runs out by itself");
        }
        Ok(())
    }

    async fn renew(&self) -> sqlx::Result<bool> {
        let renewed = sqlx::query(
            "UPDATE event_id_instances SET leased_until = now() + make_interval(secs => $3)
             WHERE instance = $1 AND holder = $2",
        )
        .bind(self.instance)
        .bind(&self.holder)
        .bind(LEASE_SECONDS)
        .execute(&self.pool)
        .await?;
        Ok(renewed.rows_affected() == 1)
    }
}
