//! `hissaback explain`: why a sum is what it is, down to the bytes.

use std::{fs, path::PathBuf, str::FromStr, sync::Arc};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use operations::explain::{ExplainError, Explainer, Explanation, Subject, proof::Proof};
use schemas::TenantId;
use stream::{Clock, SystemClock};

use super::InstallationArguments;
use crate::platform::{Placement, Platform, Starting};

/// Arguments of `hissaback explain`.
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// What is to be explained
    #[arg(requires = "id", required_unless_present = "verify")]
    subject: Option<Kind>,
    /// A conversion's event id or position (conversions/3/1042), an order number, a payout's or a
    /// user's id
    id: Option<String>,
    /// Whose claims, where an order or a user has claims of several tenants
    #[arg(long)]
    tenant: Option<TenantId>,
    /// Write a signed proof of a conversion to this file, to send to the network
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
    /// Check a proof instead
    #[arg(long, value_name = "FILE", conflicts_with_all = ["subject", "id", "tenant", "proof"])]
    verify: Option<PathBuf>,
    /// The public key that the proof has to be signed with, hex
    #[arg(long, value_name = "HEX", requires = "verify")]
    public_key: Option<String>,
    /// Print JSON instead of a tree
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    installation: InstallationArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A sale
    Conversion,
    /// The claims that name an order
    Order,
    /// A gift card
    Payout,
    /// A shopper
    User,
}

impl ExplainArguments {
    fn subject(&self) -> anyhow::Result<Subject> {
        let (Some(kind), Some(id)) = (self.subject, &self.id) else {
            bail!("say what is to be explained");
        };
        Ok(match kind {
            Kind::Conversion if id.contains('/') => Subject::Report(parsed(id)?),
            Kind::Conversion => Subject::Conversion(parsed(id)?),
            Kind::Order => Subject::Order(id.clone(), self.tenant),
            Kind::Payout => Subject::Payout(parsed(id)?),
            Kind::User => Subject::User(parsed(id)?, self.tenant),
        })
    }
}

fn parsed<T: FromStr<Err: std::fmt::Display>>(id: &str) -> anyhow::Result<T> {
    id.parse()
        .map_err(|error| anyhow::anyhow!("{id:?} can't be used: {error}"))
}

/// Explains; or checks a proof, which needs no installation.
///
/// # Errors
/// When there is no such thing, it can't be read, or a proof doesn't hold.
pub async fn run(arguments: ExplainArguments) -> anyhow::Result<()> {
    if let Some(path) = &arguments.verify {
        return verify(path, arguments.public_key.as_deref());
    }
    let subject = arguments.subject()?;
    let configuration = arguments.installation.configuration()?;
    let placement = Placement::of_command(&configuration, arguments.installation.data_dir())?;
    let clock = Arc::new(SystemClock);
    let platform = Platform::start(&placement, clock, &Starting::at_once()).await?;
    let outcome = explain(&platform, &subject, &arguments).await;
    outcome.and(platform.stop().await)
}

async fn explain(
    platform: &Platform,
    subject: &Subject,
    arguments: &ExplainArguments,
) -> anyhow::Result<()> {
    let explainer = Explainer {
        pool: platform.operator()?,
        log: platform.log.as_ref(),
    };
    let explanation = match explainer.explain(subject).await {
        Err(several @ ExplainError::SeveralTenants(..)) => bail!("{several}, with --tenant"),
        explained => explained?,
    };
    if let Some(path) = &arguments.proof {
        prove(platform, &explanation, path)?;
    } else if arguments.json {
        println!("{}", serde_json::to_string_pretty(&explanation)?);
    } else {
        for tree in explanation.trees() {
            print!("{tree}");
        }
    }
    Ok(())
}

fn prove(platform: &Platform, explanation: &Explanation, path: &PathBuf) -> anyhow::Result<()> {
    let key = platform.secrets()?.proof_key()?.context(
        "the secrets hold no key to sign with: add \"proof_keys\": [[1, \"64 random hex digits\"]] \
         to them",
    )?;
    let Explanation::Claims(claims) = explanation else {
        bail!("a proof is of a conversion or an order");
    };
    let [claim] = claims.as_slice() else {
        bail!(
            "{} claims name the order: give one of them as `conversion`",
            claims.len()
        );
    };
    let proof = key.prove(claim, platform.clock.now());
    let mut text = serde_json::to_string_pretty(&proof)?;
    text.push('\n');
    fs::write(path, text).with_context(|| format!("{} can't be written", path.display()))?;
    println!(
        "claim {} is proved in {}, signed by key {}: {}",
        claim.claim,
        path.display(),
        proof.key_id,
        proof.public_key
    );
    Ok(())
}

fn verify(path: &PathBuf, public_key: Option<&str>) -> anyhow::Result<()> {
    let text = fs::read(path).with_context(|| format!("{} can't be read", path.display()))?;
    let proof: Proof = serde_json::from_slice(&text)
        .with_context(|| format!("{} isn't a proof", path.display()))?;
    proof.verify(public_key)?;
    println!(
        "it holds: signed by key {}, {}",
        proof.key_id, proof.public_key
    );
    if public_key.is_none() {
        println!("whose key that is, it can't say itself: compare, or give --public-key");
    }
    Ok(())
}
