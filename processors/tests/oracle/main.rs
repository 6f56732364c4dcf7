//! The oracle: the ledger that the design asks for, worked out from the whole history, and the
//! tests that hold the rules against it.
//!
//! The oracle was written from the design and `docs/semantics.md` before its author had seen the
//! rules, and shares no code with them: only ids, instants and the records of crate `schemas` are
//! the same. It is plain and slow: no state, no order of processing, money in fractions, and
//! everything is worked out anew at every instant that matters. Where the two differed, the
//! documents decided; where these were silent, the rules' answer was taken.
//!
//! `PROPTEST_CASES` and `CONSERVATION_CASES` ask for more cases than a test run has.

// The oracle.
mod folding;
mod fraction;
mod grouping;
mod ledger;
mod locked_books;
mod logbook;
mod pricing;
mod standing;
mod terms;

// What it is asked about.
mod choices;
mod drawn_reference;
mod drawn_terms;
mod plain;
mod records;
mod story;

// The rules, held against it.
mod boundaries;
mod conservation;
mod decisions;
mod settle;
mod terms_edges;
