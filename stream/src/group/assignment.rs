//! Which member reads which partition: a pure function.

use std::collections::{BTreeMap, BTreeSet};

use schemas::Topic;

use crate::log::Partition;

/// A member of a group, numbered in the order of joining.
pub(crate) type MemberId = u64;

/// Assigns every partition of every topic that somebody subscribes to.
///
/// Balanced: within a topic, subscribers differ by at most one partition, and the odd ones go
/// where least is held. Sticky: a partition moves only if its holder left or has too many.
pub(crate) fn assign(
    subscriptions: &BTreeMap<MemberId, BTreeSet<Topic>>,
    previous: &BTreeMap<Partition, MemberId>,
) -> BTreeMap<Partition, MemberId> {
    let mut assigned = BTreeMap::new();
    let mut held: BTreeMap<MemberId, usize> = BTreeMap::new();
    for topic in Topic::ALL {
        let subscribers: Vec<MemberId> = subscriptions
            .iter()
            .filter(|(_, topics)| topics.contains(&topic))
            .map(|(member, _)| *member)
            .collect();
        for (partition, member) in assign_topic(topic, &subscribers, previous, &held) {
            *held.entry(member).or_default() += 1;
            assigned.insert(partition, member);
        }
    }
    assigned
}

fn assign_topic(
    topic: Topic,
    subscribers: &[MemberId],
    previous: &BTreeMap<Partition, MemberId>,
    held_of_other_topics: &BTreeMap<MemberId, usize>,
) -> BTreeMap<Partition, MemberId> {
    let partitions: Vec<Partition> = (0..topic.partitions())
        .map(|partition| (topic, partition))
        .collect();
    if subscribers.is_empty() {
        return BTreeMap::new();
    }
    let holds = |member: MemberId| {
        partitions
            .iter()
            .filter(|partition| previous.get(partition) == Some(&member))
            .count()
    };
    let load = |member: MemberId| held_of_other_topics.get(&member).copied().unwrap_or(0);

    // Who holds more of this topic keeps the odd ones; then who has less of the other topics.
    let mut ranked = subscribers.to_vec();
    ranked.sort_by_key(|member| (usize::MAX - holds(*member), load(*member), *member));
    let (share, odd) = (
        partitions.len() / subscribers.len(),
        partitions.len() % subscribers.len(),
    );
    let mut room: BTreeMap<MemberId, usize> = ranked
        .iter()
        .enumerate()
        .map(|(rank, member)| (*member, share + usize::from(rank < odd)))
        .collect();

    let mut assigned = BTreeMap::new();
    for partition in &partitions {
        if let Some(holder) = previous.get(partition)
            && let Some(left) = room.get_mut(holder)
            && *left > 0
        {
            *left -= 1;
            assigned.insert(*partition, *holder);
        }
    }
    let mut vacancies = room
        .into_iter()
        .flat_map(|(member, left)| std::iter::repeat_n(member, left));
    for partition in partitions {
        assigned.entry(partition).or_insert_with(|| {
            vacancies
                .next()
                .expect("the shares of a topic add up to its partitions")
        });
    }
    assigned
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subscribed(members: &[MemberId], topics: &[Topic]) -> BTreeMap<MemberId, BTreeSet<Topic>> {
        members
            .iter()
            .map(|member| (*member, topics.iter().copied().collect()))
            .collect()
    }

    fn count(assigned: &BTreeMap<Partition, MemberId>, member: MemberId) -> usize {
        assigned
            .values()
            .filter(|holder| **holder == member)
            .count()
    }

    #[test]
    fn a_second_member_takes_half_and_no_more_moves() {
        let alone = assign(&subscribed(&[1], &[Topic::Clicks]), &BTreeMap::new());
        assert_eq!(count(&alone, 1), 12);
        let shared = assign(&subscribed(&[1, 2], &[Topic::Clicks]), &alone);
        assert_eq!((count(&shared, 1), count(&shared, 2)), (6, 6));
        let again = assign(&subscribed(&[1, 2], &[Topic::Clicks]), &shared);
        assert_eq!(shared, again);
        let back = assign(&subscribed(&[2], &[Topic::Clicks]), &shared);
        assert_eq!(count(&back, 2), 12);
    }

    #[test]
    fn odd_partitions_are_spread_over_topics() {
        let topics = [
            Topic::Clicks,
            Topic::Conversions,
            Topic::Decisions,
            Topic::Ledger,
        ];
        let members: Vec<MemberId> = (1..=8).collect();
        let assigned = assign(&subscribed(&members, &topics), &BTreeMap::new());
        for member in members {
            assert_eq!(count(&assigned, member), 6);
        }
    }

    fn subscriptions() -> impl Strategy<Value = BTreeMap<MemberId, BTreeSet<Topic>>> {
        let topics = prop::collection::btree_set(prop::sample::select(&Topic::ALL[..]), 1..4);
        prop::collection::btree_map(0..9_u64, topics, 0..6)
    }

    proptest! {
        #[test]
        fn is_total_balanced_and_sticky(before in subscriptions(), after in subscriptions()) {
            let previous = assign(&before, &BTreeMap::new());
            let assigned = assign(&after, &previous);
            for topic in Topic::ALL {
                let subscribers: Vec<MemberId> = after
                    .iter()
                    .filter(|(_, topics)| topics.contains(&topic))
                    .map(|(member, _)| *member)
                    .collect();
                let of_topic: BTreeMap<Partition, MemberId> = assigned
                    .iter()
                    .filter(|((t, _), _)| *t == topic)
                    .map(|(p, m)| (*p, *m))
                    .collect();
                if subscribers.is_empty() {
                    prop_assert!(of_topic.is_empty());
                    continue;
                }
                prop_assert_eq!(of_topic.len(), usize::try_from(topic.partitions()).unwrap());
                prop_assert!(of_topic.values().all(|member| subscribers.contains(member)));
                let counts: Vec<usize> =
                    subscribers.iter().map(|member| count(&of_topic, *member)).collect();
                let (least, most) = (*counts.iter().min().unwrap(), *counts.iter().max().unwrap());
                prop_assert!(most - least <= 1, "{topic}: {counts:?}");
                // A partition left a member that stays only because that member has its full share.
                for (partition, holder) in previous.iter().filter(|((t, _), _)| *t == topic) {
                    if subscribers.contains(holder) && of_topic[partition] != *holder {
                        prop_assert!(count(&of_topic, *holder) >= least);
                        let kept = of_topic
                            .iter()
                            .filter(|(p, m)| *m == holder && previous.get(p) == Some(holder))
                            .count();
                        prop_assert_eq!(kept, count(&of_topic, *holder));
                    }
                }
            }
        }
    }
}
