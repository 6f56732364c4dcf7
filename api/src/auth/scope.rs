//! Transactions that see what their caller may see, and nothing else (design section 5).
//!
//! The connections are those of role `hissaback_api`, which sees no tenant's and no person's rows
//! until `app.tenant` or `app.user` is set. Setting them is what making a [`ScopedTransaction`] is,
//! in the same statement that checks the session and the membership; so a handler that forgets it
//! has no transaction, and one that takes the wrong scope finds no rows.

use std::ops::{Deref, DerefMut};

use schemas::{TenantId, Timestamp};
use sqlx::{PgConnection, PgPool, Postgres, Transaction};

use super::{Caller, Person, Scope};
use crate::{Api, Problem};

/// A transaction of role `hissaback_api` in which the caller's scope is set. Dropped, it is rolled
/// back, and the scope with it: requests only read through it.
pub struct ScopedTransaction(Transaction<'static, Postgres>);

impl Deref for ScopedTransaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0
    }
}

impl DerefMut for ScopedTransaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}

/// One tenant, for a caller who may act for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantScope {
    tenant_id: TenantId,
    /// Whose membership is looked up again at the request; nobody's for an operator, and for what
    /// anybody may see.
    member: Option<Person>,
}

impl TenantScope {
    /// The tenant.
    pub const fn tenant_id(&self) -> TenantId {
        self.tenant_id
    }

    /// The tenant whose widget it is, for anybody who asks what the widget shows.
    ///
    /// # Errors
    /// [`Problem::NotFound`].
    pub(crate) async fn of_widget(api: &Api, widget_id: uuid::Uuid) -> Result<Self, Problem> {
        let connection = api.pool.acquire().await;
        let mut connection = connection.map_err(|error| Problem::database(&error))?;
        let owner = "SELECT tenant_id FROM widgets WHERE widget_id = $1";
        let found = owned_by(&mut connection, owner, widget_id).await?;
        Ok(Self {
            tenant_id: found.ok_or(Problem::NotFound)?,
            member: None,
        })
    }

    /// A transaction that sees the tenant's rows.
    ///
    /// # Errors
    /// [`Problem::Unauthorised`] where the session was ended or the membership withdrawn.
    pub async fn begin(&self, api: &Api) -> Result<ScopedTransaction, Problem> {
        let Some(person) = &self.member else {
            return begin_without_member(api, self.tenant_id).await;
        };
        open(api, person, Some(self.tenant_id)).await
    }
}

impl Person {
    /// A transaction that sees the person's own rows.
    ///
    /// # Errors
    /// [`Problem::Unauthorised`] where the session was ended.
    pub async fn begin(&self, api: &Api) -> Result<ScopedTransaction, Problem> {
        open(api, self, None).await
    }
}

impl Caller {
    /// One tenant, named by the request: a member's own, or any for an operator. Another tenant and
    /// one that isn't there are told alike.
    ///
    /// # Errors
    /// [`Problem::Forbidden`].
    pub fn tenant(&self, tenant_id: TenantId) -> Result<TenantScope, Problem> {
        match self {
            Self::Person(person) if person.tenants.contains(&tenant_id) => Ok(TenantScope {
                tenant_id,
                member: Some(person.clone()),
            }),
            Self::Service(service) if service.scope == Scope::Operator => Ok(TenantScope {
                tenant_id,
                member: None,
            }),
            Self::Person(_) | Self::Service(_) => Err(Problem::Forbidden),
        }
    }

    /// The tenant that owns a campaign, link, … which the request names: asked of each tenant that
    /// the caller may act for, so that another's is not found.
    ///
    /// `owner` selects the tenant by the id; it runs under row-level security for a person, and as
    /// an operator for one.
    ///
    /// # Errors
    /// [`Problem::Forbidden`] to whoever acts for no tenant; [`Problem::NotFound`].
    pub async fn tenant_owning(
        &self,
        api: &Api,
        owner: &'static str,
        id: uuid::Uuid,
    ) -> Result<TenantScope, Problem> {
        match self {
            Self::Person(person) => {
                if person.tenants.is_empty() {
                    return Err(Problem::Forbidden);
                }
                for tenant_id in &person.tenants {
                    let scope = self.tenant(*tenant_id)?;
                    let mut transaction = scope.begin(api).await?;
                    if owned_by(&mut transaction, owner, id).await? == Some(*tenant_id) {
                        return Ok(scope);
                    }
                }
                Err(Problem::NotFound)
            }
            Self::Service(service) if service.scope == Scope::Operator => {
                let connection = api.pool.acquire().await;
                let mut connection = connection.map_err(|error| Problem::database(&error))?;
                let found = owned_by(&mut connection, owner, id).await?;
                self.tenant(found.ok_or(Problem::NotFound)?)
            }
            Self::Service(_) => Err(Problem::Forbidden),
        }
    }
}

async fn owned_by(
    connection: &mut PgConnection,
    owner: &'static str,
    id: uuid::Uuid,
) -> Result<Option<TenantId>, Problem> {
    let found = sqlx::query_scalar(owner)
        .bind(id)
        .fetch_optional(connection)
        .await
        .map_err(|error| Problem::database(&error))?;
    Ok(found.map(TenantId::new))
}

async fn open(
    api: &Api,
    person: &Person,
    tenant_id: Option<TenantId>,
) -> Result<ScopedTransaction, Problem> {
    let mut transaction = transaction(api).await?;
    let open: bool = sqlx::query_scalar("SELECT scope_opened($1, $2, $3, $4)")
        .bind(person.session_id)
        .bind(person.user_id.uuid())
        .bind(tenant_id.map(TenantId::uuid))
        .bind(now(api))
        .fetch_one(&mut *transaction)
        .await
        .map_err(|error| Problem::database(&error))?;
    open.then_some(ScopedTransaction(transaction))
        .ok_or(Problem::Unauthorised)
}

async fn begin_without_member(
    api: &Api,
    tenant_id: TenantId,
) -> Result<ScopedTransaction, Problem> {
    let mut transaction = transaction(api).await?;
    sqlx::query("SELECT set_config('app.tenant', $1, true), set_config('app.user', '', true)")
        .bind(tenant_id.to_string())
        .execute(&mut *transaction)
        .await
        .map_err(|error| Problem::database(&error))?;
    Ok(ScopedTransaction(transaction))
}

async fn transaction(api: &Api) -> Result<Transaction<'static, Postgres>, Problem> {
    let begun = people_pool(api)?.begin().await;
    begun.map_err(|error| Problem::database(&error))
}

/// Connections of role `hissaback_api`, for its functions.
pub(crate) fn people_pool(api: &Api) -> Result<&PgPool, Problem> {
    let pool = api.scoped_pool.as_ref();
    pool.ok_or(Problem::NotConfigured("postgres.api_url"))
}

pub(crate) fn now(api: &Api) -> chrono::DateTime<chrono::Utc> {
    let now: Timestamp = api.clock.now();
    now.to_datetime()
}
