//! Static membership: names by which a group knows the members of this process again after a
//! restart (`group.instance.id`, KIP-345), so that they get back what they held without waiting
//! for the session of the process that died.

use std::{
    collections::BTreeSet,
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Kafka allows 249 bytes, of which a hyphen and the largest number take 11.
const NAME_BYTES_MAX: usize = 238;

/// What a process is called in all its groups: the same after a restart, and no other process's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceName(String);

impl FromStr for InstanceName {
    type Err = String;

    /// By Kafka's rules for such names, which are those for topics.
    fn from_str(text: &str) -> Result<Self, String> {
        let legal = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.chars().all(legal) {
            return Err(format!(
                "{text:?} is not 1 to {NAME_BYTES_MAX} letters, digits, dots, hyphens and \
                 underscores"
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which names are taken by the members of this process.
pub(super) struct Instances {
    /// Without one, membership is dynamic.
    name: Option<InstanceName>,
    /// Groups, with the numbers of their members here.
    taken: Mutex<BTreeSet<(String, u32)>>,
}

impl Instances {
    pub(super) fn new(name: Option<InstanceName>) -> Arc<Self> {
        Arc::new(Self {
            name,
            taken: Mutex::default(),
        })
    }

    /// A name for one more member of the group: the first that is free, so that as many members
    /// have the same names after a restart.
    pub(super) fn take(self: &Arc<Self>, group: &str) -> Option<Instance> {
        let name = self.name.as_ref()?;
        let mut taken = self.taken();
        let free = |number: &u32| !taken.contains(&(group.to_owned(), *number));
        let number = (0..=u32::MAX).find(free)?;
        taken.insert((group.to_owned(), number));
        Some(Instance {
            id: format!("{name}-{number}"),
            member: (group.to_owned(), number),
            instances: Arc::clone(self),
        })
    }

    fn taken(&self) -> MutexGuard<'_, BTreeSet<(String, u32)>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of one member, which is free again once this is dropped.
pub(super) struct Instance {
    id: String,
    /// Its group and number.
    member: (String, u32),
    instances: Arc<Instances>,
}

impl Instance {
    /// The member's `group.instance.id`.
    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.instances.taken().remove(&self.member);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_kafka_takes() {
        for name in ["ledger-0", "a", "ip-10-0-0-1.example_com", &"x".repeat(238)] {
            assert_eq!(name.parse::<InstanceName>().unwrap().to_string(), name);
        }
        for name in ["", "a b", "a/b", "ä", &"x".repeat(239)] {
            assert!(name.parse::<InstanceName>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn members_have_the_first_names_that_are_free_in_their_group() {
        let instances = Instances::new(Some("a".parse().unwrap()));
        let take = |group| instances.take(group).expect("a name");
        let (first, second, third) = (take("ledger"), take("ledger"), take("ledger"));
        let ids = [first.id(), second.id(), third.id()];
        assert_eq!(ids, ["a-0", "a-1", "a-2"]);
        assert_eq!(take("analytics").id(), "a-0", "another group");
        drop(second);
        let again = take("ledger");
        assert_eq!((again.id(), take("ledger").id()), ("a-1", "a-3"));
    }

    #[test]
    fn without_a_name_membership_is_dynamic() {
        assert!(Instances::new(None).take("ledger").is_none());
    }
}
