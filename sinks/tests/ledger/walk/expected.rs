//! Who may do what: one list, compared with what the database says and does.

/// Whose rows the API sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// Everybody's: the platform's own data.
    All,
    /// Those of the tenant that is set.
    Tenant,
    /// And those of the user that is set.
    TenantOrUser,
    /// None: the API is granted nothing.
    None,
}

/// Name; what the writer, the operator, the analyst and the API may do, by initials of SELECT,
/// INSERT, UPDATE, DELETE (the owner may all, the API reads); whose rows the API sees.
pub(super) type Table = (&'static str, &'static str, &'static str, &'static str, Rows);

pub(super) const TABLES: [Table; 57] = [
    ("_sqlx_migrations", "", "", "", Rows::None),
    ("analytics_computations", "SU", "S", "", Rows::None),
    ("analytics_positions", "SIU", "S", "", Rows::None),
    ("analytics_stale_hours", "SIUD", "S", "", Rows::None),
    ("audit_log", "SI", "SI", "", Rows::None),
    ("campaign_versions", "S", "SI", "S", Rows::Tenant),
    ("campaigns", "S", "SI", "S", Rows::Tenant),
    ("claim_notices", "SI", "S", "", Rows::None),
    ("clicks", "SIUD", "S", "S", Rows::TenantOrUser),
    ("commands", "SIUD", "S", "", Rows::None),
    ("commission_overrides", "S", "SI", "S", Rows::Tenant),
    ("commission_rule_sets", "S", "SI", "S", Rows::None),
    ("conflicts", "SI", "S", "", Rows::None),
    ("consumer_positions", "SIUD", "S", "", Rows::None),
    ("conversions", "SIUD", "S", "S", Rows::TenantOrUser),
    ("correction_proposals", "", "SIU", "", Rows::None),
    ("event_id_instances", "SIUD", "", "", Rows::None),
    ("fold_locks", "SIUD", "", "", Rows::None),
    ("fraud_rule_sets", "S", "SI", "S", Rows::None),
    ("healed_positions", "SIUD", "", "", Rows::None),
    ("idempotency_keys", "", "", "", Rows::None),
    ("ledger", "SIUD", "S", "S", Rows::TenantOrUser),
    ("ledger_epoch", "SIUD", "S", "", Rows::None),
    ("links", "S", "SI", "S", Rows::Tenant),
    ("message_sends", "SIU", "S", "", Rows::None),
    ("messages", "SIU", "S", "", Rows::None),
    ("networks", "S", "SI", "S", Rows::None),
    ("offer_goal_rates", "S", "SI", "S", Rows::All),
    ("offer_versions", "S", "SI", "S", Rows::All),
    ("offers", "S", "SI", "S", Rows::All),
    ("one_time_codes", "", "", "", Rows::None),
    ("order_claims", "SIUD", "S", "", Rows::None),
    ("orders", "SIUD", "S", "", Rows::None),
    ("outbox", "SIUD", "S", "", Rows::None),
    ("payee_locks", "SIUD", "", "", Rows::None),
    ("payout_channels", "SIU", "S", "", Rows::None),
    ("payout_dispatch", "SIU", "S", "", Rows::None),
    ("payout_holds", "SI", "SI", "", Rows::None),
    ("payout_items", "SIUD", "S", "S", Rows::Tenant),
    ("payout_rates", "SIU", "S", "", Rows::None),
    ("payout_steps", "SIUD", "S", "", Rows::None),
    ("payouts", "SIUD", "S", "S", Rows::TenantOrUser),
    ("positions_applied", "SIUD", "S", "", Rows::None),
    ("positions_applied_beyond", "SIUD", "S", "", Rows::None),
    ("postings", "SI", "S", "S", Rows::TenantOrUser),
    ("refresh_tokens", "", "", "", Rows::None),
    ("reports", "S", "S", "S", Rows::None),
    ("retired_reports", "SD", "S", "S", Rows::None),
    ("sessions", "", "", "", Rows::None),
    ("tenant_locks", "S", "SI", "S", Rows::Tenant),
    ("tenant_members", "S", "SI", "", Rows::None),
    ("tenant_versions", "S", "SI", "S", Rows::Tenant),
    ("tenants", "S", "SI", "S", Rows::Tenant),
    ("unmatched_conversions", "SIUD", "S", "S", Rows::None),
    ("user_payout_methods", "S", "SI", "", Rows::None),
    ("users", "S", "SI", "S", Rows::None),
    ("widgets", "S", "SI", "S", Rows::Tenant),
];

/// Not even the owner changes these.
pub(super) const APPEND_ONLY: [&str; 2] = ["audit_log", "postings"];

/// Columns that a role can't read of a table that it reads.
pub(super) const HIDDEN: [(&str, &str, &[&str]); 14] = [
    (API, "clicks", &["address_hash", "address_prefix"]),
    (
        API,
        "conversions",
        &["decision", "velocity_claims", "velocity_hours"],
    ),
    (API, "ledger", &["order_owner"]),
    (
        API,
        "payouts",
        &["creation_request_id", "request", "voucher_code"],
    ),
    (
        ANALYST,
        "clicks",
        &["address_hash", "address_prefix", "referrer"],
    ),
    (ANALYST, "conversions", &["decision"]),
    (ANALYST, "networks", &["security_token_sha256"]),
    (
        ANALYST,
        "payouts",
        &["card_id", "creation_request_id", "request", "voucher_code"],
    ),
    (ANALYST, "unmatched_conversions", &["decision"]),
    (
        ANALYST,
        "users",
        &[
            "email_hash",
            "email_sealed",
            "kyc_hash",
            "phone_hash",
            "phone_sealed",
        ],
    ),
    (
        OPERATOR,
        "payout_dispatch",
        &["claim_code_ciphertext", "claim_code_nonce"],
    ),
    (OPERATOR, "user_payout_methods", &["destination_sealed"]),
    (OPERATOR, "users", &["email_sealed", "phone_sealed"]),
    (WRITER, "users", &["email_sealed"]),
];

/// Functions, and the roles besides the owner that may call them.
pub(super) const FUNCTIONS: [(&str, &[&str]); 28] = [
    ("add_partition", &[]),
    ("add_phone", &[OPERATOR]),
    ("contacts_to_reseal", &[OPERATOR]),
    ("current_app_user", &[API]),
    ("current_tenant", &[API]),
    ("detach_month", &[OPERATOR]),
    ("drop_detached_months", &[OPERATOR]),
    ("ensure_partitions", &[OPERATOR, WRITER]),
    ("erase_addresses", &[OPERATOR]),
    ("erase_user", &[OPERATOR]),
    ("expired_sign_ins_removed", &[OPERATOR]),
    ("forget_sign_ins", &[]),
    ("idempotent_request_begun", &[API]),
    ("idempotent_request_ended", &[API]),
    ("isolate", &[]),
    ("one_time_code_requested", &[API]),
    ("one_time_code_tried", &[API]),
    ("postings_sum_to_zero", &[]),
    ("refuse_all_but_lifting", &[]),
    ("refuse_change", &[]),
    ("reseal_contacts", &[OPERATOR]),
    ("retire_reports_before", &[OPERATOR]),
    ("scope_opened", &[API]),
    ("session_ended", &[API]),
    ("session_refreshed", &[API]),
    ("session_started", &[API]),
    ("tenants_of", &[API]),
    ("unsettled_claims_before", &[OPERATOR]),
];

/// The sequences that a role draws from by itself; the others belong to identity columns.
pub(super) const SEQUENCES: [(&str, &str); 2] = [
    (WRITER, "outbox_sequence_seq"),
    (WRITER, "posting_transactions"),
];

pub(super) const OWNER: &str = "hissaback_owner";
pub(super) const WRITER: &str = "hissaback_writer";
pub(super) const OPERATOR: &str = "hissaback_operator";
pub(super) const ANALYST: &str = "hissaback_analyst";
pub(super) const API: &str = "hissaback_api";
pub(super) const ROLES: [&str; 5] = [ANALYST, API, OPERATOR, OWNER, WRITER];
