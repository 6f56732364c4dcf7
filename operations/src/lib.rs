//! What operators do: audit, backfill, healing, payout run.
