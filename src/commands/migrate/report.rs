//! What `migrate` found and did, for a person and for a program.

use std::fmt;

use serde::Serialize;

/// What there is to say about one service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Findings {
    /// What was missing and has been made.
    pub made: Vec<String>,
    /// What is missing.
    pub outstanding: Vec<String>,
    /// What is there and isn't as this program expects it; never altered.
    pub differences: Vec<String>,
}

/// How a service stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// As this program expects it, before or by now.
    UpToDate,
    /// Something is missing.
    Behind,
    /// Something isn't as this program expects it.
    Differs,
    /// It can't be used.
    Failed,
    /// None is configured: the process that embeds it sees to it.
    Embedded,
}

impl State {
    const fn words(self) -> &'static str {
        match self {
            Self::UpToDate => "up to date",
            Self::Behind => "behind",
            Self::Differs => "differs",
            Self::Failed => "failed",
            Self::Embedded => "embedded: the process that embeds it sees to it",
        }
    }
}

#[derive(Debug, Serialize)]
struct Service {
    #[serde(rename = "service")]
    name: &'static str,
    state: State,
    #[serde(flatten)]
    findings: Findings,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What there is to say about all of them.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    services: Vec<Service>,
}

impl Report {
    /// Adds a service: what was found, nothing where none is configured, or why it can't be used.
    pub fn add(&mut self, service: &'static str, outcome: anyhow::Result<Option<Findings>>) {
        let (state, findings, error) = match outcome {
            Ok(None) => (State::Embedded, Findings::default(), None),
            Ok(Some(findings)) if !findings.differences.is_empty() => {
                (State::Differs, findings, None)
            }
            Ok(Some(findings)) if !findings.outstanding.is_empty() => {
                (State::Behind, findings, None)
            }
            Ok(Some(findings)) => (State::UpToDate, findings, None),
            Err(error) => {
                let error = format!("{error:#}");
                (State::Failed, Findings::default(), Some(error))
            }
        };
        self.services.push(Service {
            name: service,
            state,
            findings,
            error,
        });
    }

    /// The services that can't be used, with the reasons.
    pub fn failed(&self) -> String {
        let failed = self.services.iter().filter_map(|service| {
            let error = service.error.as_ref()?;
            Some(format!("{} ({error})", service.name))
        });
        failed.collect::<Vec<_>>().join(", ")
    }

    /// Whether nothing is missing and nothing differs.
    pub fn up_to_date(&self) -> bool {
        self.services.iter().all(|service| match service.state {
            State::UpToDate | State::Embedded => true,
            State::Behind | State::Differs | State::Failed => false,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for service in &self.services {
            writeln!(f, "{:<12}{}", service.name, service.state.words())?;
            let Findings {
                made,
                outstanding,
                differences,
            } = &service.findings;
            for (what, lines) in [
                ("made", made),
                ("missing", outstanding),
                ("differs", differences),
            ] {
                for line in lines {
                    writeln!(f, "  {what}: {line}")?;
                }
            }
            if let Some(error) = &service.error {
                writeln!(f, "  {error}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_was_made_is_missing_and_differs() {
        let mut report = Report::default();
        report.add("schemas", Ok(None));
        let made = Findings {
            made: vec!["0001_events".to_owned()],
            ..Findings::default()
        };
        report.add("clickhouse", Ok(Some(made)));
        assert!(report.up_to_date());
        let missing = Findings {
            outstanding: vec!["0005_comments".to_owned()],
            ..Findings::default()
        };
        report.add("postgresql", Ok(Some(missing)));
        assert!(!report.up_to_date() && report.failed().is_empty());
        let different = Findings {
            differences: vec!["clicks has 6 partitions".to_owned()],
            ..Findings::default()
        };
        report.add("topics", Ok(Some(different)));
        report.add("other", Err(anyhow::anyhow!("refused")));
        assert_eq!(report.failed(), "other (refused)");
        assert_eq!(
            report.to_string(),
            "schemas     embedded: the process that embeds it sees to it\n\
             clickhouse  up to date\n  made: 0001_events\n\
             postgresql  behind\n  missing: 0005_comments\n\
             topics      differs\n  differs: clicks has 6 partitions\n\
             other       failed\n  refused\n"
        );
        let json = serde_json::to_value(&report).expect("JSON");
        assert_eq!(json["services"][3]["state"], "differs");
        assert_eq!(json["services"][1]["made"][0], "0001_events");
    }
}
