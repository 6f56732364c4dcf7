//! Many reports in memory, and which of them are folded together.

use super::{
    neighbours::{Neighbourhoods, Neighbours, Node},
    store::Packed,
};

/// Reports in a block of memory.
const BLOCK: usize = 4_096;

/// Which report: so many are before it.
type Number = u32;

/// Reports as they come.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// All of one size, so that no report is moved when there are more: they may be gigabytes.
    blocks: Vec<Vec<Packed>>,
    /// Each with the node of its click.
    numbers: Vec<(Node, Number)>,
}

/// Reports of some neighbourhoods, each with the others of its own.
#[derive(Debug)]
pub(super) struct Grouped {
    blocks: Vec<Vec<Packed>>,
    numbers: Vec<(Neighbours, Number)>,
}

/// Some neighbourhoods of them.
pub(super) struct Share<'a> {
    blocks: &'a [Vec<Packed>],
    numbers: &'a [(Neighbours, Number)],
}

impl Kept {
    /// Adds a report, whose click has this node.
    pub fn add(&mut self, click: Node, packed: Packed) {
        let number = u32::try_from(self.numbers.len()).expect("fewer than 2^32 reports");
        self.numbers.push((click, number));
        match self.blocks.last_mut() {
            Some(block) if block.len() < BLOCK => block.push(packed),
            Some(_) | None => {
                let mut block = Vec::with_capacity(BLOCK);
                block.push(packed);
                self.blocks.push(block);
            }
        }
    }

    /// Groups them, once it is known who is whose neighbour.
    pub fn grouped(mut self, neighbourhoods: &Neighbourhoods) -> Grouped {
        for (node, _) in &mut self.numbers {
            *node = neighbourhoods.of_node(*node);
        }
        self.numbers.sort_unstable();
        Grouped {
            blocks: self.blocks,
            numbers: self.numbers,
        }
    }
}

impl Grouped {
    /// Cuts them into so many shares of about as many reports, each neighbourhood whole.
    pub fn shares(&self, count: usize) -> Vec<Share<'_>> {
        let size = self.numbers.len().div_ceil(count.max(1)).max(1);
        let mut left = self.numbers.as_slice();
        let mut shares = Vec::new();
        while let Some((last, _)) = left.get(size - 1).or(left.last()) {
            let end = left.partition_point(|(neighbours, _)| neighbours <= last);
            let (numbers, later) = left.split_at(end);
            let blocks = &self.blocks;
            shares.push(Share { blocks, numbers });
            left = later;
        }
        shares
    }
}

impl<'a> Share<'a> {
    /// The reports of each neighbourhood, by their names.
    pub fn neighbourhoods(&self) -> impl Iterator<Item = Vec<&'a Packed>> {
        let blocks = self.blocks;
        let packed = move |(_, number): &(Neighbours, Number)| {
            let number = *number as usize;
            &blocks[number / BLOCK][number % BLOCK]
        };
        let neighbourhoods = self.numbers.chunk_by(|one, next| one.0 == next.0);
        neighbourhoods.map(move |numbers| {
            let mut reports: Vec<_> = numbers.iter().map(packed).collect();
            reports.sort_unstable_by_key(|packed| packed.event_id);
            reports
        })
    }
}
