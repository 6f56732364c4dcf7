//! Ids of schemas: ours, by which this program knows them, and those that a registry gave them.

use bytes::{Bytes, BytesMut};

/// Set in an id that the registry gave to something else while ours has the same number, so that
/// one is never taken for the other: the codec doesn't know it, and the record is a dead letter. A
/// registry's ids are positive 32-bit integers, so the bit is free.
pub const FOREIGN_ID: u32 = 1 << 31;

/// The zero byte that a value in the Confluent wire format begins with.
const MAGIC: u8 = 0;

/// Which id on the wire is which of ours.
///
/// A permutation of all ids, so that nothing is ever lost: what is read and written again, as a
/// dead letter is, has the bytes that it had, whatever they mean.
///
/// - The registry's id of a schema of ours is our id.
/// - Any other id of the registry's is the same here, if we don't use the number ourselves.
/// - If we do, it is that with [`FOREIGN_ID`] set, which is none of ours.
///
/// (And, for the permutation's sake: what has that bit set on the wire, as no registry gives out,
/// for a number of the third kind, is one of the registry's numbers that we don't use.)
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchemaIds {
    /// (on the wire, in this program), where they differ; sorted.
    inward: Vec<(u32, u32)>,
    /// (in this program, on the wire), where they differ; sorted.
    outward: Vec<(u32, u32)>,
}

/// Ids that can't be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the schema registry's ids can't be told apart: ours {ours} is {registered} there")]
pub struct Ambiguous {
    /// Our id.
    pub ours: u32,
    /// The registry's, which it gave to another of our schemas too, or which is not positive.
    pub registered: u32,
}

impl SchemaIds {
    /// Ours are the registry's.
    pub fn equal() -> Self {
        Self::default()
    }

    /// From pairs of (our id, the registry's), of all schemas of ours.
    pub fn new(pairs: &[(u32, u32)]) -> Result<Self, Ambiguous> {
        for (index, &(ours, registered)) in pairs.iter().enumerate() {
            let repeated = pairs[..index]
                .iter()
                .any(|other| other.0 == ours || other.1 == registered);
            if repeated || (ours | registered) & FOREIGN_ID != 0 {
                return Err(Ambiguous { ours, registered });
            }
        }
        let ours = |id: u32| pairs.iter().any(|pair| pair.0 == id);
        let registered = |id: u32| pairs.iter().any(|pair| pair.1 == id);
        // As many numbers are ours only as are the registry's only.
        let foreign = pairs
            .iter()
            .map(|pair| pair.0)
            .filter(|id| !registered(*id));
        let unused = pairs.iter().map(|pair| pair.1).filter(|id| !ours(*id));
        let mut inward: Vec<(u32, u32)> = pairs.iter().map(|pair| (pair.1, pair.0)).collect();
        for (foreign, unused) in foreign.zip(unused) {
            inward.push((foreign, foreign | FOREIGN_ID));
            inward.push((foreign | FOREIGN_ID, unused));
        }
        inward.retain(|(wire, here)| wire != here);
        let mut outward: Vec<_> = inward.iter().map(|(wire, here)| (*here, *wire)).collect();
        inward.sort_unstable();
        outward.sort_unstable();
        Ok(Self { inward, outward })
    }

    /// Whether every id is the same here and there.
    pub fn are_equal(&self) -> bool {
        self.inward.is_empty()
    }

    /// A value as read, with the id that it has in this program. One that isn't in the Confluent
    /// wire format stays as it is.
    pub fn inward(&self, value: Bytes) -> Bytes {
        translated(value, &self.inward)
    }

    /// A value as it is to be written, with the id that it has on the wire: the inverse of
    /// [`Self::inward`].
    pub fn outward(&self, value: Bytes) -> Bytes {
        translated(value, &self.outward)
    }
}

fn translated(value: Bytes, ids: &[(u32, u32)]) -> Bytes {
    let Some([MAGIC, id @ ..]) = value.first_chunk::<5>() else {
        return value;
    };
    let id = u32::from_be_bytes(*id);
    let Ok(place) = ids.binary_search_by_key(&id, |(from, _)| *from) else {
        return value;
    };
    // In place, unless somebody else holds the bytes too.
    let mut value = value
        .try_into_mut()
        .unwrap_or_else(|shared| BytesMut::from(&*shared));
    value[1..5].copy_from_slice(&ids[place].1.to_be_bytes());
    value.freeze()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(id: u32) -> Bytes {
        [&[MAGIC], id.to_be_bytes().as_slice(), b"datum"]
            .concat()
            .into()
    }

    #[test]
    fn ids_become_ours_and_the_registrys_again() {
        let ids = SchemaIds::new(&[(1, 3), (2, 101), (3, 2)]).expect("told apart");
        for (wire, here) in [
            (3, 1),
            (101, 2),
            (2, 3),
            // The registry's 1 is nothing of ours, though we have a 1.
            (1, 1 | FOREIGN_ID),
            (4, 4),
            (1 | FOREIGN_ID, 101),
            (u32::MAX, u32::MAX),
        ] {
            assert_eq!(ids.inward(framed(wire)), framed(here), "{wire}");
            assert_eq!(ids.outward(framed(here)), framed(wire), "{wire}");
        }
    }

    #[test]
    fn equal_ids_are_nothing_to_do() {
        let ids = SchemaIds::new(&[(1, 1), (2, 2)]).expect("told apart");
        assert!(ids.are_equal());
        assert_eq!(ids, SchemaIds::equal());
    }

    #[test]
    fn ids_that_cannot_be_told_apart_are_refused() {
        assert!(SchemaIds::new(&[(1, 7), (2, 7)]).is_err());
        assert!(SchemaIds::new(&[(1, 7), (1, 8)]).is_err());
        assert!(SchemaIds::new(&[(1, FOREIGN_ID)]).is_err());
    }

    #[test]
    fn what_is_not_framed_stays_as_it_is() {
        let ids = SchemaIds::new(&[(1, 0x7b22_6122)]).expect("told apart");
        for value in [
            &b""[..],
            b"\0",
            b"\0\0\0\0",
            b"{\"a\":1}",
            b"\x01\0\0\0\x01",
        ] {
            assert_eq!(ids.inward(Bytes::from_static(value)), value);
            assert_eq!(ids.outward(Bytes::from_static(value)), value);
        }
    }

    #[test]
    fn bytes_that_others_hold_are_left_to_them() {
        let ids = SchemaIds::new(&[(1, 9)]).expect("told apart");
        let shared = framed(9);
        assert_eq!(ids.inward(shared.clone()), framed(1));
        assert_eq!(shared, framed(9));
        let alone = framed(9);
        let address = alone.as_ptr();
        assert_eq!(ids.inward(alone).as_ptr(), address);
    }

    proptest! {
        /// Small numbers, so that they collide in every way.
        #[test]
        fn whatever_is_read_is_written_as_it_was(
            ours in prop::collection::btree_set(0_u32..12, 0..8),
            registered in Just((0_u32..12).collect::<Vec<_>>()).prop_shuffle(),
            id in prop_oneof![0_u32..16, FOREIGN_ID..FOREIGN_ID + 16, any::<u32>()],
        ) {
            let pairs: Vec<_> = ours.iter().copied().zip(registered).collect();
            let ids = SchemaIds::new(&pairs).expect("told apart");
            let read = ids.inward(framed(id));
            prop_assert_eq!(ids.outward(read.clone()), framed(id));
            prop_assert_eq!(ids.inward(ids.outward(framed(id))), framed(id));
            // It is taken for ours exactly if the registry says so.
            let here = u32::from_be_bytes(read[1..5].try_into().expect("four bytes"));
            let meant = pairs.iter().find(|pair| pair.1 == id).map(|pair| pair.0);
            prop_assert_eq!(ours.contains(&here).then_some(here), meant);
        }
    }
}
