//! What must come out: worked out from the script and from what the driver saw accepted, with the
//! whole history at hand and no hurry, apart from the pipeline's code.

pub mod claims;
pub mod judgement;
pub mod money;
pub mod payouts;

use std::collections::BTreeMap;

use schemas::{ClickId, TenantId};

use crate::demo::{
    driver::Record,
    world::{Phase, Script, coin::Coin},
};

use self::{
    claims::ReportFate,
    judgement::{Judged, Standing},
    money::Parts,
    payouts::{Card, Paid, Payee},
};

/// What became of the accepted postbacks: each has one fate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fates {
    /// Opened a claim.
    pub ledgered: u64,
    /// Changed a claim.
    pub updates: u64,
    /// Said again what was known.
    pub repetitions: u64,
    /// Opened a claim on an order that another claim owns.
    pub duplicates: u64,
    /// Named a click that we don't know.
    pub unmatched: u64,
    /// Couldn't be used.
    pub ignored: u64,
    /// Couldn't be read.
    pub dead_lettered: u64,
}

impl Fates {
    /// Each fate's name and count, in the order in which they are shown.
    pub const fn named(&self) -> [(&'static str, u64); 7] {
        [
            ("ledgered", self.ledgered),
            ("updates", self.updates),
            ("repetitions", self.repetitions),
            ("duplicates", self.duplicates),
            ("unmatched", self.unmatched),
            ("ignored", self.ignored),
            ("dead_lettered", self.dead_lettered),
        ]
    }

    /// How many reports were accepted: the sum of their fates.
    pub fn accepted(&self) -> u64 {
        self.named().iter().map(|(_, count)| count).sum()
    }
}

/// Tells a claim from every other, without an id of the ledger's: its click, and the names that
/// its first report carried.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimKey {
    /// The click.
    pub click_id: ClickId,
    /// The network's own conversion id.
    pub conversion_id: Option<String>,
    /// Transaction id, whether or not it names an order.
    pub txn_id: Option<String>,
    /// Goal.
    pub goal_id: Option<String>,
}

/// A claim, as it must stand in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedClaim {
    /// Which.
    pub key: ClaimKey,
    /// Number of the postback that opened it.
    pub first: usize,
    /// Its row status.
    pub standing: Standing,
    /// Currency of its parts.
    pub coin: Coin,
    /// What stands in the books.
    pub parts: Parts,
    /// What was paid of the shopper's part, in minor units.
    pub paid: i128,
}

/// The accounts of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are those of the ledger's accounts")]
pub enum Account {
    NetworkReceivable,
    UserPayable,
    CreatorPayable,
    Unclaimed,
    PlatformRevenue,
    PromotionExpense,
    PayoutClearing,
}

impl Account {
    /// All of them, in the order in which the summary shows them.
    pub const ALL: [Self; 7] = [
        Self::NetworkReceivable,
        Self::PromotionExpense,
        Self::UserPayable,
        Self::PayoutClearing,
        Self::CreatorPayable,
        Self::Unclaimed,
        Self::PlatformRevenue,
    ];

    /// The ledger's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NetworkReceivable => "network_receivable",
            Self::UserPayable => "user_payable",
            Self::CreatorPayable => "creator_payable",
            Self::Unclaimed => "unclaimed",
            Self::PlatformRevenue => "platform_revenue",
            Self::PromotionExpense => "promotion_expense",
            Self::PayoutClearing => "payout_clearing",
        }
    }
}

/// Everything that must come out.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// What must have become of the postbacks.
    pub fates: Fates,
    /// Every claim.
    pub claims: Vec<ExpectedClaim>,
    /// Balance of each account by tenant and currency, in minor units: positive is what its
    /// holder is owed or the platform's income. Zero where absent.
    pub balances: BTreeMap<(TenantId, Account, Coin), i128>,
    /// What each payee is still owed, in minor units; below zero after a clawback.
    pub payees: BTreeMap<Payee, i128>,
    /// Every gift card.
    pub cards: Vec<Card>,
}

/// Works out what must come out.
pub fn expect(script: &Script, record: &Record) -> Expected {
    let mut paid = Paid::default();
    let [first, second] = script.runs;
    let open = judgement::judge(script, record, Phase::Traffic);
    let mut cards = payouts::pay(0, first.as_of, &open, &mut paid, script);
    let settled = judgement::judge(script, record, Phase::Late);
    cards.extend(payouts::pay(1, second.as_of, &settled, &mut paid, script));

    let mut expected = Expected {
        fates: fates(script, record, &settled),
        cards,
        ..Expected::default()
    };
    for judged in &settled {
        expected.book(judged, &paid, script);
        expected.claims.extend(claim(judged, &paid, record));
    }
    for card in &expected.cards {
        *expected
            .balances
            .entry((card.tenant_id, Account::PayoutClearing, card.coin))
            .or_default() += card.minor;
    }
    expected
}

impl Expected {
    fn book(&mut self, judged: &Judged<'_>, paid: &Paid, script: &Script) {
        let link = script.clicks[judged.history.click].link;
        let tenant_id = script.seeds.tenant_of(link).tenant_id;
        let coin = judged.deal.offer.coin;
        let parts = judged.parts;
        let payee = payouts::payee(judged, script);
        let owed = parts.user - paid.of(judged);
        let users = if payee.is_some() {
            Account::UserPayable
        } else {
            Account::Unclaimed
        };
        for (account, minor) in [
            (Account::NetworkReceivable, -parts.commission),
            (Account::PromotionExpense, -parts.subsidy),
            (Account::PlatformRevenue, parts.fee),
            (Account::CreatorPayable, parts.creator),
            (users, owed),
        ] {
            *self.balances.entry((tenant_id, account, coin)).or_default() += minor;
        }
        if let Some(payee) = payee {
            *self.payees.entry(payee).or_default() += owed;
        }
    }
}

fn claim(judged: &Judged<'_>, paid: &Paid, record: &Record) -> Option<ExpectedClaim> {
    let first = judged.history.reports[0];
    let paid = paid.of(judged);
    let in_full = judged.standing == Standing::Confirmed && paid > 0 && paid >= judged.parts.user;
    Some(ExpectedClaim {
        key: ClaimKey {
            click_id: record.click_id(judged.history.click)?,
            conversion_id: first.report.conversion_id.clone(),
            txn_id: first.report.txn_id.clone(),
            goal_id: first.report.goal_id.clone(),
        },
        first: first.number,
        standing: if in_full {
            Standing::Paid
        } else {
            judged.standing
        },
        coin: judged.deal.offer.coin,
        parts: judged.parts,
        paid,
    })
}

fn fates(script: &Script, record: &Record, all: &[Judged<'_>]) -> Fates {
    let mut fates = Fates::default();
    for (number, postback) in script.postbacks.iter().enumerate() {
        if !record.accepted(number) {
            continue;
        }
        if postback.fault.is_some() {
            fates.ignored += 1;
        } else if postback.reference.found().is_none() {
            fates.unmatched += 1;
        }
    }
    for judged in all {
        for fate in &judged.folded.fates {
            match (fate, judged.duplicate) {
                (ReportFate::First, true) => fates.duplicates += 1,
                (ReportFate::First, false) => fates.ledgered += 1,
                (ReportFate::Update, _) => fates.updates += 1,
                (ReportFate::Repetition, _) => fates.repetitions += 1,
            }
        }
    }
    fates
}

#[cfg(test)]
pub(in crate::demo) mod tests;
