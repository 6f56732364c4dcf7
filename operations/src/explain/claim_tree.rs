//! A claim as a tree, for people.

use schemas::events::{ClickFacts, Rate, RateOrigin};
use serde_json::Value;

use super::{
    ClaimLineage, CommandLine, PaidBy, PinnedTerms, PostingLine, ReportLineage, SharedOrder, Tree,
};

impl PinnedTerms {
    fn tree(&self) -> Tree {
        let rate = match self.rate {
            Rate::Percentage(percentage) => format!("{percentage}% of the sale"),
            Rate::Flat(amount) => format!("{amount} each"),
        };
        let origin = match self.rate_origin {
            RateOrigin::Offer => "the offer's",
            RateOrigin::Override => "the tenant's own",
        };
        let rules = self
            .commission_rules_version
            .map_or_else(|| "none".to_owned(), |version| format!("version {version}"));
        let mut children = vec![
            Tree::leaf(format!("rate {rate} ({origin})")),
            Tree::leaf(format!(
                "tenant's settings version {}, campaign version {}, offer version {}",
                self.tenant_version, self.campaign_version, self.offer_version
            )),
            Tree::leaf(format!("commission rules {rules}")),
            Tree::leaf(format!(
                "fraud rules version {}, score {}",
                self.fraud_rules_version, self.score
            )),
        ];
        children.extend(self.signals.iter().cloned().map(Tree::leaf));
        Tree::new("terms as of the click", children)
    }
}

impl ClaimLineage {
    pub(super) fn tree(&self) -> Tree {
        let order = self.order.as_deref().unwrap_or("none");
        let label = format!("claim {} ({}), order {order}", self.claim, self.status);
        let mut children = vec![self.verdict_tree(), self.money_tree()];
        children.extend(self.terms.as_ref().map(PinnedTerms::tree));
        if !self.postings.is_empty() {
            children.push(postings_tree(&self.postings));
        }
        children.extend(self.commands.iter().map(CommandLine::tree));
        children.extend(self.payouts.iter().map(PaidBy::tree));
        children.extend(self.click.as_ref().map(click_tree));
        children.extend(self.reports.iter().map(ReportLineage::tree));
        Tree::new(label, children)
    }

    fn verdict_tree(&self) -> Tree {
        let network = self.network_status.as_deref().unwrap_or("nothing");
        let mut children: Vec<Tree> = self
            .reasons
            .iter()
            .map(|reason| match &reason.evidence {
                Some(evidence) => Tree::leaf(format!("{}: {evidence}", reason.code)),
                None => Tree::leaf(reason.code.clone()),
            })
            .collect();
        let SharedOrder {
            same_tenant,
            other_tenants,
            owner,
        } = &self.shared_order;
        if let Some(owner) = owner {
            children.push(Tree::leaf(format!("the order is claim {owner}'s")));
        }
        for claim in same_tenant {
            children.push(Tree::leaf(format!("claim {claim} names the same order")));
        }
        if *other_tenants > 0 {
            let count = format!("{other_tenants} claims of other tenants name the same order");
            children.push(Tree::leaf(count));
        }
        let label = format!(
            "verdict: {}; the network says {network}; converted {}, payable from {}",
            self.status, self.converted_at, self.payable_at
        );
        Tree::new(label, children)
    }

    fn money_tree(&self) -> Tree {
        let money = &self.money;
        let currency = money.currency;
        let mut children = vec![
            Tree::leaf(format!("expected: {}", money.expected.line(currency))),
            Tree::leaf(format!("in the books: {}", money.posted.line(currency))),
            Tree::leaf(format!("paid out: {} {currency}", money.paid)),
        ];
        let rating = self.rating.as_ref().and_then(|rating| {
            let rating = rating.as_object()?;
            let says: Vec<String> = rating
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| format!("{name} {}", plain(value)))
                .collect();
            Some(Tree::leaf(format!("rated: {}", says.join(", "))))
        });
        children.extend(rating);
        let sale = money
            .sale
            .map_or_else(|| "unknown".to_owned(), |sale| sale.to_string());
        let sums = if money.adds_up {
            "sums add up"
        } else {
            "SUMS DON'T ADD UP"
        };
        let share = money.user_share_pct;
        let label = format!("sale {sale}, share of the shopper {share}%: {sums}");
        Tree::new(label, children)
    }
}

/// A JSON value without the quotes of a string.
fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

pub(super) fn postings_tree(postings: &[PostingLine]) -> Tree {
    let transactions = postings.chunk_by(|one, next| one.transaction == next.transaction);
    let children = transactions
        .map(|lines| {
            let legs: Vec<String> = lines
                .iter()
                .map(|line| format!("{} {} {}", line.account, line.amount, line.currency))
                .collect();
            let transaction = lines.first().map_or(0, |line| line.transaction);
            Tree::leaf(format!("transaction {transaction}: {}", legs.join(", ")))
        })
        .collect();
    Tree::new("postings", children)
}

impl CommandLine {
    fn tree(&self) -> Tree {
        let label = format!(
            "command {} by {} at {}: {}",
            self.command_id, self.author, self.issued_at, self.reason
        );
        let what = Tree::leaf(self.body.to_string());
        Tree::new(label, vec![what, Tree::leaf(self.position.to_string())])
    }
}

impl PaidBy {
    fn tree(&self) -> Tree {
        let card = self.card_id.as_deref();
        let card = card.map_or_else(String::new, |card| format!(", card {card}"));
        Tree::leaf(format!(
            "payout {} ({}) pays {}{card}",
            self.payout_id, self.state, self.amount
        ))
    }
}

fn click_tree(click: &ClickFacts) -> Tree {
    let user = click
        .user_id
        .map_or_else(|| "nobody known".to_owned(), |user| user.to_string());
    let country = click
        .country
        .map_or_else(|| "unknown".to_owned(), |country| country.to_string());
    let children = vec![
        Tree::leaf(format!(
            "link {}, campaign {}, offer {}, tenant {}",
            click.link_id, click.campaign_id, click.offer_id, click.tenant_id
        )),
        Tree::leaf(format!("shopper {user}, country {country}")),
    ];
    Tree::new(
        format!("click {} at {}", click.click_id, click.clicked_at),
        children,
    )
}
