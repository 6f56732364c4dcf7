//! What the registry has of ours, and what it lacks.

use std::{collections::BTreeMap, fmt};

use schemas::codec::REGISTRY;

use super::{
    COMPATIBILITY,
    client::{Registration, SchemaRegistry, SubjectVersion},
    error::RegistryError,
};

/// What the registry has of ours, and what was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistryReport {
    /// Registered now.
    pub registered: Vec<SubjectVersion>,
    /// There already.
    pub unchanged: Vec<SubjectVersion>,
    /// Not there: not to be registered when only looked at, else for one of the differences.
    pub missing: Vec<SubjectVersion>,
    /// What is otherwise than this program expects. It was left as it is.
    pub differences: Vec<SchemaDifference>,
}

impl RegistryReport {
    /// Whether everything is there as it should be.
    pub fn as_expected(&self) -> bool {
        self.missing.is_empty() && self.differences.is_empty()
    }
}

/// Something otherwise than this program expects, which is for a person to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaDifference {
    /// The subject has another compatibility.
    Compatibility {
        /// The subject.
        subject: String,
        /// What it has.
        found: String,
    },
    /// The subject has versions that aren't ours.
    Unknown {
        /// The subject.
        subject: String,
        /// The registry's numbers of them.
        versions: Vec<u32>,
    },
    /// The registry refuses our version, since it can't read what the one before wrote.
    Incompatible {
        /// Our version.
        refused: SubjectVersion,
        /// The registry's words.
        reason: String,
    },
}

impl fmt::Display for SchemaDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compatibility { subject, found } => write!(
                f,
                "subject {subject} has compatibility {found}, and {COMPATIBILITY} is expected"
            ),
            Self::Unknown { subject, versions } => write!(
                f,
                "subject {subject} has versions {versions:?} that this program doesn't know: they \
                 are of a newer release, or of somebody else"
            ),
            Self::Incompatible { refused, reason } => {
                write!(
                    f,
                    "the registry refuses {refused} as incompatible: {reason}"
                )
            }
        }
    }
}

/// Whether what is missing is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Registered,
    Told,
}

/// A subject before anything is done.
struct Subject {
    /// Its compatibility has still to be set.
    unset: bool,
    /// Nothing (more) is registered under it.
    closed: bool,
}

impl SchemaRegistry {
    /// Registers every version of every schema of ours that is missing, in order, and sets
    /// BACKWARD compatibility for subjects that have none set. What is there is never altered; a
    /// subject that has versions of somebody else's gets none of ours.
    pub async fn register_all(&self) -> Result<RegistryReport, RegistryError> {
        self.compare(Missing::Registered).await
    }

    /// Looks, and changes nothing.
    pub async fn inspect(&self) -> Result<RegistryReport, RegistryError> {
        self.compare(Missing::Told).await
    }

    async fn compare(&self, missing: Missing) -> Result<RegistryReport, RegistryError> {
        let mut report = RegistryReport::default();
        let mut subjects = BTreeMap::new();
        // In the order of our ids, so that a new registry gives the same.
        for schema in REGISTRY {
            let named = self.named(schema);
            let subject = match subjects.entry(named.subject.clone()) {
                std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::btree_map::Entry::Vacant(new) => {
                    new.insert(self.subject_found(&named.subject, &mut report).await?)
                }
            };
            if self.look_up(schema).await?.is_some() {
                report.unchanged.push(named.clone());
            } else if missing == Missing::Told || subject.closed {
                report.missing.push(named);
                continue;
            } else {
                match self.register(schema).await? {
                    Registration::Done => report.registered.push(named.clone()),
                    Registration::DoneAlready => report.unchanged.push(named.clone()),
                    Registration::Incompatible { reason } => {
                        // A later version must not take the place of this one.
                        subject.closed = true;
                        report.missing.push(named.clone());
                        let refused = named;
                        let difference = SchemaDifference::Incompatible { refused, reason };
                        report.differences.push(difference);
                        continue;
                    }
                }
            }
            // Only now: some registries have no compatibility of a subject that isn't there.
            if subject.unset && missing == Missing::Registered {
                self.set_compatibility(&named.subject, COMPATIBILITY)
                    .await?;
                subject.unset = false;
            }
        }
        Ok(report)
    }

    async fn subject_found(
        &self,
        subject: &str,
        report: &mut RegistryReport,
    ) -> Result<Subject, RegistryError> {
        let mut unknown = self.versions(subject).await?;
        for schema in REGISTRY {
            if self.subject(schema) == subject
                && !unknown.is_empty()
                && let Some(id) = self.look_up(schema).await?
            {
                unknown.retain(|(_, found)| *found != id);
            }
        }
        let closed = !unknown.is_empty();
        if closed {
            report.differences.push(SchemaDifference::Unknown {
                subject: subject.to_owned(),
                versions: unknown.into_iter().map(|(version, _)| version).collect(),
            });
        }
        let compatibility = self.compatibility(subject).await?;
        let unset = compatibility.is_none();
        if let Some(found) = compatibility.filter(|level| level != COMPATIBILITY) {
            let subject = subject.to_owned();
            let difference = SchemaDifference::Compatibility { subject, found };
            report.differences.push(difference);
        }
        Ok(Subject { unset, closed })
    }
}
