//! The same work in several sizes: whether a conversion costs the same, and the pipeline's memory
//! stays the same, however many there are.

use super::{
    Plan,
    clicks::once,
    day::{CALLERS, COST, MEMORY},
};
use crate::{
    generator::Sending,
    processes::Part,
    results::{Findings, Size, shown},
};

const SHORT: &[u64] = &[1_000, 10_000, 50_000];
const FULL: &[u64] = &[1_000, 10_000, 50_000, 200_000, 500_000];

pub async fn measure(plan: &Plan<'_>, findings: &mut Findings) -> anyhow::Result<()> {
    findings.set("callers", &CALLERS);
    let sizes = plan.form.pick(SHORT, FULL);
    for conversions in sizes {
        let measured = once(plan, *conversions, Sending::Whole).await?;
        let memory_mib = measured.usage.peak(Part::Pipeline);
        let of = format!("{} conversions", shown(measured.conversions));
        findings.note(&format!("{of}: {COST}"), "s", measured.cost());
        findings.note(&format!("{of}: {MEMORY}"), "MiB", memory_mib);
        findings.sizes.push(Size {
            conversions: *conversions,
            cpu_seconds_per_thousand: measured.cost(),
            memory_mib,
        });
    }
    if let [first, .., last] = &findings.sizes[..] {
        let cost = last.cpu_seconds_per_thousand / first.cpu_seconds_per_thousand;
        let memory = last.memory_mib / first.memory_mib;
        findings.note("cost of a conversion, largest of smallest", "×", cost);
        findings.note("memory, largest of smallest", "×", memory);
    }
    Ok(())
}
