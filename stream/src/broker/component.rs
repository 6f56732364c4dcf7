//! Finds what `scripts/setup.sh kafka` has fetched.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use super::BrokerError;

/// Something that the set-up fetches by a Maven project file.
#[derive(Debug)]
pub(super) struct Component {
    /// Its name, for messages.
    pub(super) what: &'static str,
    /// Its directory in the cache directory.
    directory: &'static str,
    /// The project file that says which version is wanted.
    project: &'static str,
}

/// The broker.
pub(super) const KAFKA: Component = Component {
    what: "Apache Kafka",
    directory: "kafka",
    project: include_str!("../../../scripts/kafka/kafka.xml"),
};

/// The schema registry.
pub(super) const REGISTRY: Component = Component {
    what: "the schema registry",
    directory: "registry",
    project: include_str!("../../../scripts/kafka/registry.xml"),
};

impl Component {
    /// Where it lies: in `HISSABACK_CACHE_DIR`, else in `.cache` of the checkout.
    pub(super) fn find(&self) -> Result<PathBuf, BrokerError> {
        let cache = env::var_os("HISSABACK_CACHE_DIR").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache"),
            PathBuf::from,
        );
        self.find_in(&cache)
    }

    fn find_in(&self, cache: &Path) -> Result<PathBuf, BrokerError> {
        let directory = cache.join(self.directory);
        let Ok(directory) = directory.canonicalize() else {
            return Err(BrokerError::Missing {
                what: self.what,
                searched: directory.display().to_string(),
            });
        };
        // The set-up leaves the project file beside what it fetched by it.
        let fetched_by = fs::read_to_string(directory.join("pom.xml")).unwrap_or_default();
        if fetched_by != self.project {
            return Err(BrokerError::Outdated {
                what: self.what,
                directory,
            });
        }
        Ok(directory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_outdated_is_named_with_its_remedy() {
        let cache = tempfile::tempdir().unwrap();
        let missing = KAFKA.find_in(cache.path()).unwrap_err();
        assert!(matches!(missing, BrokerError::Missing { .. }));
        let message = missing.to_string();
        assert!(message.contains("Apache Kafka is missing"), "{message}");
        assert!(message.ends_with("run `make setup`"), "{message}");

        fs::create_dir(cache.path().join("kafka")).unwrap();
        fs::write(cache.path().join("kafka/pom.xml"), "<project/>").unwrap();
        let outdated = KAFKA.find_in(cache.path()).unwrap_err();
        assert!(matches!(outdated, BrokerError::Outdated { .. }));
        assert!(outdated.to_string().ends_with("run `make setup`"));
    }
}
