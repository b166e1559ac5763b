//! Comparisons as a table for a terminal, and as a page that needs nothing but itself.

use std::fmt::Write as _;

use crate::rounds::{Comparison, Peer, Turns};

/// A finding that is no comparison: a title, a table, and what it means.
#[derive(Debug, Clone, Default)]
pub struct Finding {
    /// Title.
    pub title: String,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Rows of as many cells.
    pub rows: Vec<Vec<String>>,
    /// What it means, in a sentence.
    pub meaning: String,
}

const COLOURS: [&str; 6] = ["#1565c0", "#ef6c00", "#2e7d32", "#6a1b9a", "#c62828", "#455a64"];
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 56.0;
const BOTTOM: f64 = 28.0;

/// A comparison for a terminal.
#[must_use]
pub fn table(comparison: &Comparison) -> String {
    let Some(compared) = comparison.compared() else { return String::new() };
    let mut text = format!("{} ({} rounds, load: {})\n", comparison.title, compared.rounds, compared.load);
    let _ = writeln!(
        text,
        "{:<14} {:>9} {:>9} {:>9} {:>9} {:>9}  ratio p50 (least-greatest)  ratio p99",
        "", "p50 us", "p99 us", "p99.9 us", "max us", "samples"
    );
    let row = |name: &str, figures: &crate::figures::Figures| {
        format!(
            "{name:<14} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>9}",
            figures.p50_us, figures.p99_us, figures.p999_us, figures.max_us, figures.samples
        )
    };
    let subject_absent = comparison.contenders.first().and_then(|subject| subject.absent.as_ref());
    match subject_absent {
        Some(why) => {
            let _ = writeln!(text, "{:<14} absent: {why}", compared.subject);
        }
        None => {
            let _ = writeln!(text, "{}", row(&compared.subject, &compared.figures));
        }
    }
    for (name, peer) in &compared.peers {
        let _ = match &peer.absent {
            Some(why) => writeln!(text, "{name:<14} absent: {why}"),
            None => writeln!(text, "{}  {}", row(name, &peer.figures), ratios(peer)),
        };
    }
    let stalls = compared.host_stalls_over_1ms;
    let _ = match stalls {
        Some(count) => writeln!(text, "stalls of the host over 1 ms: {count}"),
        None => writeln!(text, "stalls of the host: not looked for, no real-time probe ran"),
    };
    text
}

fn ratios(peer: &Peer) -> String {
    let words = |ratio: Option<crate::figures::Ratio>| {
        ratio.map_or_else(|| "-".to_owned(), |r| format!("{:.3} ({:.3}-{:.3})", r.median, r.min, r.max))
    };
    format!("{:<27}  {}", words(peer.ratio_p50), words(peer.ratio_p99))
}

/// A finding for a terminal.
#[must_use]
pub fn finding(finding: &Finding) -> String {
    let mut text = format!("{}\n", finding.title);
    let widths: Vec<usize> = finding
        .columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            finding
                .rows
                .iter()
                .filter_map(|row| row.get(at))
                .map(String::len)
                .chain([column.len()])
                .max()
                .unwrap_or(0)
        })
        .collect();
    for row in std::iter::once(&finding.columns).chain(&finding.rows) {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(text, "{cell:>width$}  ");
        }
        text.push('\n');
    }
    let _ = writeln!(text, "{}", finding.meaning);
    text
}

/// All of it as a page.
#[must_use]
pub fn html(machine: &str, comparisons: &[Comparison], findings: &[Finding]) -> String {
    let mut page = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Latency</title><style>\
         body{font:15px/1.5 system-ui,sans-serif;max-width:920px;margin:2em auto;color:#222}\
         table{border-collapse:collapse;margin:.6em 0}td,th{padding:.2em .7em;text-align:right;border-bottom:1px solid #ddd}\
         td:first-child,th:first-child{text-align:left}svg{background:#fafafa;border:1px solid #e5e5e5}\
         .legend span{margin-right:1.4em}</style><h1>Latency</h1>",
    );
    let _ = write!(
        page,
        "<p>{}</p><p>Subject and peers took turns on the same core at the same priority, in one order and then in the \
         other. Absolute times say something about this machine alone; what counts are the ratios, each of one round, \
         of which the median, the least and the greatest are given.</p>",
        escaped(machine)
    );
    for comparison in comparisons {
        section(&mut page, comparison);
    }
    for finding in findings {
        let _ = write!(page, "<h2>{}</h2><table><tr>", escaped(&finding.title));
        finding.columns.iter().for_each(|column| {
            let _ = write!(page, "<th>{}</th>", escaped(column));
        });
        page.push_str("</tr>");
        for row in &finding.rows {
            page.push_str("<tr>");
            row.iter().for_each(|cell| {
                let _ = write!(page, "<td>{}</td>", escaped(cell));
            });
            page.push_str("</tr>");
        }
        let _ = write!(page, "</table><p>{}</p>", escaped(&finding.meaning));
    }
    page.push_str("</html>\n");
    page
}

fn section(page: &mut String, comparison: &Comparison) {
    let Some(compared) = comparison.compared() else { return };
    let _ = write!(
        page,
        "<h2>{}</h2><p>Load: {}. {} rounds. Stalls of the host over 1 ms: {}.</p><table><tr><th></th><th>p50 us</th>\
         <th>p99 us</th><th>p99.9 us</th><th>max us</th><th>samples</th><th>ratio p50</th><th>ratio p99</th></tr>",
        escaped(&comparison.title),
        escaped(&compared.load),
        compared.rounds,
        compared.host_stalls_over_1ms.map_or_else(|| "not looked for".to_owned(), |count| count.to_string())
    );
    for turns in &comparison.contenders {
        let peer = compared.peers.get(&turns.name);
        let figures = peer.map_or(compared.figures, |peer| peer.figures);
        if let Some(why) = &turns.absent {
            let _ = write!(
                page,
                "<tr><td>{}</td><td colspan=7>absent: {}</td></tr>",
                escaped(&turns.name),
                escaped(why)
            );
            continue;
        }
        let ratio = |of: fn(&Peer) -> Option<crate::figures::Ratio>| {
            peer.and_then(of).map_or_else(
                || "-".to_owned(),
                |r| format!("{:.3} ({:.3}\u{2013}{:.3})", r.median, r.min, r.max),
            )
        };
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{:.1}</td><td>{:.1}</td><td>{:.1}</td><td>{:.1}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escaped(&turns.name),
            figures.p50_us,
            figures.p99_us,
            figures.p999_us,
            figures.max_us,
            figures.samples,
            ratio(|peer| peer.ratio_p50),
            ratio(|peer| peer.ratio_p99)
        );
    }
    page.push_str("</table><p class=\"legend\">");
    for (turns, colour) in comparison.contenders.iter().zip(COLOURS) {
        let _ = write!(page, "<span style=\"color:{colour}\">&#9632; {}</span>", escaped(&turns.name));
    }
    page.push_str("</p><p>Share of the values, by latency in microseconds (both axes logarithmic):</p>");
    histogram(page, &comparison.contenders);
    page.push_str("<p>99th percentile of each round, in microseconds:</p>");
    series(page, &comparison.contenders);
}

/// A scale from values to pixels.
struct Scale {
    from: f64,
    to: f64,
    pixels: (f64, f64),
}

impl Scale {
    fn at(&self, value: f64) -> f64 {
        let share = if self.to > self.from { (value - self.from) / (self.to - self.from) } else { 0.5 };
        self.pixels.0 + share.clamp(0.0, 1.0) * (self.pixels.1 - self.pixels.0)
    }
}

fn frame(page: &mut String) {
    let _ = write!(
        page,
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\">"
    );
}

fn histogram(page: &mut String, contenders: &[Turns]) {
    let all: Vec<(Vec<(f64, u64)>, u64)> = contenders
        .iter()
        .map(|turns| {
            let times = turns.all();
            let samples = times.figures().samples;
            (if samples > 0 { times.bins() } else { Vec::new() }, samples)
        })
        .collect();
    let edges = all.iter().flat_map(|(bins, _)| bins.iter().map(|(edge, _)| edge.ln()));
    let (from, to) =
        edges.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), edge| (a.min(edge), b.max(edge)));
    if !from.is_finite() {
        return;
    }
    let x = Scale { from, to, pixels: (LEFT, WIDTH - 10.0) };
    // From one in a million to all.
    let y = Scale { from: -6.0, to: 0.0, pixels: (HEIGHT - BOTTOM, 10.0) };
    frame(page);
    for power in -6..=0 {
        let at = y.at(f64::from(power));
        let _ = write!(
            page,
            "<line x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#e5e5e5\"/>\
             <text x=\"4\" y=\"{:.1}\" font-size=\"11\">1e{power}</text>",
            at + 4.0
        );
    }
    axis_of_times(page, &x);
    for ((bins, samples), colour) in all.iter().zip(COLOURS) {
        let points: Vec<String> = bins
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(edge, count)| {
                let share = (*count as f64 / *samples as f64).log10();
                format!("{:.1},{:.1}", x.at(edge.ln()), y.at(share))
            })
            .collect();
        let _ = write!(
            page,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\" points=\"{}\"/>",
            points.join(" ")
        );
    }
    page.push_str("</svg>");
}

/// Marks at 1, 2 and 5 of each decade.
fn axis_of_times(page: &mut String, x: &Scale) {
    for decade in -1..7 {
        for digit in [1.0, 2.0, 5.0] {
            let value = digit * 10_f64.powi(decade);
            if (x.from..=x.to).contains(&value.ln()) {
                let at = x.at(value.ln());
                let _ = write!(
                    page,
                    "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"10\" y2=\"{:.1}\" stroke=\"#eee\"/>\
                     <text x=\"{at:.1}\" y=\"{:.1}\" font-size=\"11\" text-anchor=\"middle\">{value}</text>",
                    HEIGHT - BOTTOM,
                    HEIGHT - 8.0
                );
            }
        }
    }
}

fn series(page: &mut String, contenders: &[Turns]) {
    let of = |turns: &Turns| turns.rounds.iter().map(|round| round.quantile_us(0.99)).collect::<Vec<_>>();
    let all: Vec<Vec<f64>> = contenders.iter().map(of).collect();
    let top = all.iter().flatten().copied().fold(0.0, f64::max);
    let rounds = all.iter().map(Vec::len).max().unwrap_or(0);
    if top <= 0.0 {
        return;
    }
    let x = Scale { from: 1.0, to: (rounds as f64).max(2.0), pixels: (LEFT, WIDTH - 10.0) };
    let y = Scale { from: 0.0, to: top, pixels: (HEIGHT - BOTTOM, 10.0) };
    frame(page);
    for share in [0.0, 0.5, 1.0] {
        let at = y.at(top * share);
        let _ = write!(
            page,
            "<line x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#e5e5e5\"/>\
             <text x=\"4\" y=\"{:.1}\" font-size=\"11\">{:.0}</text>",
            at + 4.0,
            top * share
        );
    }
    for round in 1..=rounds {
        let _ = write!(
            page,
            "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"11\" text-anchor=\"middle\">{round}</text>",
            x.at(round as f64),
            HEIGHT - 8.0
        );
    }
    for (values, colour) in all.iter().zip(COLOURS) {
        let points = values.iter().zip(1..).map(|(value, round)| (x.at(f64::from(round)), y.at(*value)));
        let line: Vec<String> = points.clone().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = write!(
            page,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\" points=\"{}\"/>",
            line.join(" ")
        );
        for (x, y) in points {
            let _ = write!(page, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
    }
    page.push_str("</svg>");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Times;
    use hal_units::Duration;

    fn comparison() -> Comparison {
        let turns = |name: &str, micros: u64| {
            let mut times = Times::new();
            (0..100).for_each(|at| times.add(Duration::from_micros(micros + at)));
            Turns { name: name.to_owned(), rounds: vec![times.clone(), times], absent: None }
        };
        let gone = Turns { absent: Some("it is <not> here".to_owned()), ..turns("gone", 1) };
        Comparison {
            title: "wake-up".to_owned(),
            load: "idle".to_owned(),
            contenders: vec![turns("takt", 30), turns("cyclictest", 60), gone],
            host_stalls_over_1ms: Some(2),
        }
    }

    #[test]
    fn the_page_shows_every_contender_and_needs_nothing_else() {
        let page = html("two cores", &[comparison()], &[]);
        for wanted in ["takt", "cyclictest", "it is &lt;not&gt; here", "<svg", "two cores"] {
            assert!(page.contains(wanted), "{wanted}");
        }
        assert!(!page.contains("http"), "it loads something");
    }

    #[test]
    fn the_table_says_ratios_and_who_is_absent() {
        let text = table(&comparison());
        assert!(text.contains("absent: it is <not> here"), "{text}");
        assert!(text.lines().any(|line| line.starts_with("cyclictest") && line.contains('(')), "{text}");
    }

    #[test]
    fn a_finding_is_a_table_with_a_sentence() {
        let finding_of = Finding {
            title: "growth".to_owned(),
            columns: vec!["N".to_owned(), "us".to_owned()],
            rows: vec![vec!["1".to_owned(), "0.6".to_owned()]],
            meaning: "It grows as the number of devices.".to_owned(),
        };
        let text = finding(&finding_of);
        assert!(text.contains("growth") && text.contains("0.6") && text.contains("It grows"), "{text}");
        assert!(html("", &[], &[finding_of]).contains("<td>0.6</td>"));
    }
}
