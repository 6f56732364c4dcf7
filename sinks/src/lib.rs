//! Log to world: ledger, analytics, payouts.
