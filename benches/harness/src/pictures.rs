//! Pictures as SVG, which needs nothing to be looked at.

use std::fmt::Write;

use crate::results::{Curve, Distribution, Point, Size, shown};

/// Which latency of a point a line shows.
type Latency = fn(&Point) -> f64;

/// Which value of a size a line shows.
type SizeValue = fn(&Size) -> f64;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
const COLORS: [&str; 2] = ["#1f6fb4", "#c4492d"];

/// The head, and the title.
fn begun(title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"14\">{title}</text>\n"
    )
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), color: &str) {
    let _ = writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{color}\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn text(svg: &mut String, at: (f64, f64), anchor: &str, color: &str, text: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"{color}\">{text}</text>",
        at.0, at.1
    );
}

/// Median and p99 over the rate; both latencies on a logarithmic scale.
pub fn curve(title: &str, curve: &Curve) -> String {
    let mut svg = begun(title);
    let rates = curve.points.iter().map(|point| point.per_second);
    let rate_max = rates.fold(1.0, f64::max);
    let latencies = curve
        .points
        .iter()
        .flat_map(|point| [point.p50_ms, point.p99_ms]);
    let (lowest, highest) = latencies.fold((f64::MAX, 0.1_f64), |(low, high), latency| {
        (low.min(latency), high.max(latency))
    });
    let from = lowest.max(0.01).log10().floor();
    let to = highest.log10().ceil().max(from + 1.0);
    let across = |rate: f64| LEFT + rate / rate_max * (WIDTH - LEFT - RIGHT);
    let up = |latency: f64| {
        let part = (latency.max(0.01).log10() - from) / (to - from);
        HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)
    };
    let mut decade = from;
    while decade <= to {
        let latency = 10_f64.powf(decade);
        let height = up(latency);
        line(&mut svg, (LEFT, height), (WIDTH - RIGHT, height), "#dddddd");
        let label = format!("{} ms", shown(latency));
        text(
            &mut svg,
            (LEFT - 6.0, height + 4.0),
            "end",
            "#333333",
            &label,
        );
        decade += 1.0;
    }
    for step in 0..=4_u8 {
        let rate = rate_max * f64::from(step) / 4.0;
        let label = format!("{}/s", shown(rate));
        let at = (across(rate), HEIGHT - BOTTOM + 18.0);
        text(
            &mut svg,
            at,
            if step == 4 { "end" } else { "middle" },
            "#333333",
            &label,
        );
    }
    let lines: [(&str, Latency); 2] = [
        ("median", |point| point.p50_ms),
        ("p99", |point| point.p99_ms),
    ];
    for (number, ((name, latency), color)) in lines.into_iter().zip(COLORS).enumerate() {
        let mut path = String::new();
        for point in &curve.points {
            let (x, y) = (across(point.per_second), up(latency(point)));
            let _ = write!(path, "{x:.1},{y:.1} ");
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{color}\"/>"
            );
        }
        let path = path.trim_end();
        let _ = writeln!(
            svg,
            "<polyline points=\"{path}\" fill=\"none\" stroke=\"{color}\"/>"
        );
        let place = if number == 0 { LEFT } else { LEFT + 80.0 };
        text(&mut svg, (place, HEIGHT - 8.0), "start", color, name);
    }
    svg + "</svg>\n"
}

/// How many took how long, in buckets that double; the counts on a logarithmic scale, since the
/// few at the end are what matters.
pub fn histogram(distribution: &Distribution) -> String {
    let mut svg = begun(&distribution.name);
    let buckets = &distribution.buckets;
    let height = |count: u64| {
        let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        (count + 1.0).log10()
    };
    let highest = buckets.iter().map(|(_, count)| height(*count));
    let highest = highest.fold(1.0, f64::max);
    let places = f64::from(u32::try_from(buckets.len().max(1)).unwrap_or(u32::MAX));
    let width = (WIDTH - LEFT - RIGHT) / places;
    let base = HEIGHT - BOTTOM;
    let mut left = LEFT;
    for (bound, count) in buckets {
        let tall = height(*count) / highest * (HEIGHT - TOP - BOTTOM);
        let _ = writeln!(
            svg,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{tall:.1}\" fill=\"{}\"/>",
            left + 2.0,
            base - tall,
            width - 4.0,
            COLORS[0]
        );
        let middle = left + width / 2.0;
        if *count > 0 {
            let at = (middle, base - tall - 4.0);
            text(&mut svg, at, "middle", "#333333", &count.to_string());
        }
        let label = shown(*bound);
        text(&mut svg, (middle, base + 16.0), "middle", "#333333", &label);
        left += width;
    }
    text(
        &mut svg,
        (LEFT, HEIGHT - 8.0),
        "start",
        "#333333",
        "milliseconds up to; height logarithmic",
    );
    svg + "</svg>\n"
}

/// Cost and memory over size, which is logarithmic; each from nothing, on a scale of its own.
pub fn sizes(title: &str, sizes: &[Size]) -> String {
    let mut svg = begun(title);
    let logarithm = |size: &Size| {
        let conversions = u32::try_from(size.conversions).unwrap_or(u32::MAX);
        f64::from(conversions.max(1)).log10()
    };
    let from = sizes.iter().map(logarithm).fold(f64::MAX, f64::min);
    let to = sizes.iter().map(logarithm).fold(from + 1.0, f64::max);
    // Room for the labels of the first and the last point.
    let (first, last) = (LEFT + 50.0, WIDTH - RIGHT - 50.0);
    let across = |size: &Size| first + (logarithm(size) - from) / (to - from) * (last - first);
    let base = HEIGHT - BOTTOM;
    line(&mut svg, (LEFT, base), (WIDTH - RIGHT, base), "#dddddd");
    for size in sizes {
        let conversions = u32::try_from(size.conversions).unwrap_or(u32::MAX);
        let at = (across(size), base + 18.0);
        let label = shown(f64::from(conversions));
        text(&mut svg, at, "middle", "#333333", &label);
    }
    let lines: [(&str, &str, SizeValue, f64); 2] = [
        (
            "CPU seconds per 1,000",
            "s",
            |size| size.cpu_seconds_per_thousand,
            -8.0,
        ),
        ("memory", "MiB", |size| size.memory_mib, 16.0),
    ];
    for (number, ((name, unit, value, aside), color)) in lines.into_iter().zip(COLORS).enumerate() {
        let highest = sizes.iter().map(value).fold(f64::MIN_POSITIVE, f64::max);
        let up = |size| base - value(size) / (highest * 1.2) * (base - TOP);
        let mut path = String::new();
        for size in sizes {
            let (x, y) = (across(size), up(size));
            let _ = write!(path, "{x:.1},{y:.1} ");
            let label = format!("{} {unit}", shown(value(size)));
            text(&mut svg, (x, y + aside), "middle", color, &label);
        }
        let path = path.trim_end();
        let _ = writeln!(
            svg,
            "<polyline points=\"{path}\" fill=\"none\" stroke=\"{color}\"/>"
        );
        let place = if number == 0 { LEFT } else { LEFT + 160.0 };
        text(&mut svg, (place, HEIGHT - 8.0), "start", color, name);
    }
    svg + "</svg>\n"
}
