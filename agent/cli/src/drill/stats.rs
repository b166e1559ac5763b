//! Quantiles and a histogram of takeovers.

use serde::Serialize;

/// Median, tails and extreme, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Quantiles {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
}

/// Quantiles by nearest rank; `None` of nothing.
pub(super) fn quantiles(values_ms: &[f64]) -> Option<Quantiles> {
    let mut sorted = values_ms.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = |part: f64| {
        let rank = (part * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.max(1) - 1).copied()
    };
    Some(Quantiles { p50: rank(0.5)?, p99: rank(0.99)?, p999: rank(0.999)?, max: rank(1.0)? })
}

/// Bars of a histogram at most.
const BARS_MAX: usize = 20;
/// Characters of the longest bar.
const BAR_WIDTH: usize = 50;
/// Widths of a bar to choose from, in milliseconds.
const WIDTHS_MS: [f64; 10] = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];

/// A histogram as text, a line for each bar from the smallest to the largest value.
pub(super) fn histogram(values_ms: &[f64]) -> String {
    let Some(largest) = quantiles(values_ms).map(|quantiles| quantiles.max) else { return String::new() };
    let smallest = values_ms.iter().copied().fold(largest, f64::min);
    let bars = |width: f64| (largest / width) as usize - (smallest / width) as usize + 1;
    let width = WIDTHS_MS.into_iter().find(|&width| bars(width) <= BARS_MAX).unwrap_or(largest.max(1.0));
    let first = (smallest / width) as usize;
    let mut counts = vec![0_usize; bars(width)];
    for value in values_ms {
        if let Some(count) = counts.get_mut((value / width) as usize - first) {
            *count += 1;
        }
    }
    let most = counts.iter().copied().max().unwrap_or(1).max(1);
    let mut text = String::new();
    for (at, count) in counts.iter().enumerate() {
        let from = (first + at) as f64 * width;
        // A bar that is not empty is seen.
        let length = (count * BAR_WIDTH).div_ceil(most);
        let line = format!("{from:>7.1} ms |{:<BAR_WIDTH$} {count}", "#".repeat(length));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let values: Vec<f64> = (1..=300).rev().map(f64::from).collect();
        let expected = Quantiles { p50: 150.0, p99: 297.0, p999: 300.0, max: 300.0 };
        assert_eq!(quantiles(&values), Some(expected));
        assert_eq!(quantiles(&[7.0]).unwrap().p50, 7.0);
        assert_eq!(quantiles(&[]), None);
    }

    #[test]
    fn a_histogram_counts_every_value_and_shows_the_gaps() {
        let text = histogram(&[20.1, 20.4, 21.0, 29.9]);
        let counts: Vec<usize> =
            text.lines().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
        assert_eq!(counts.iter().sum::<usize>(), 4);
        assert!(counts.contains(&0), "{text}");
        assert!(text.starts_with("   20.0 ms |##"), "{text}");
        assert!(text.lines().count() <= BARS_MAX);
    }

    #[test]
    fn any_spread_fits_the_histogram() {
        for largest in [0.0, 0.4, 19.9, 640.0, 50_000.0] {
            let text = histogram(&[0.0, largest]);
            assert!((1..=BARS_MAX).contains(&text.lines().count()), "{largest}: {text}");
        }
        assert_eq!(histogram(&[]), "");
    }
}
