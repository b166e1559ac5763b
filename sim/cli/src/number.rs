//! Numbers on the command line, with their range in the complaint.

/// Reads a number within `low..=high`, for clap.
pub(crate) fn within(
    low: f64,
    high: f64,
) -> impl Fn(&str) -> Result<f64, String> + Clone + Send + Sync + 'static {
    move |text| {
        text.trim()
            .parse::<f64>()
            .ok()
            .filter(|number| (low..=high).contains(number))
            .ok_or_else(|| format!("give a number from {low} to {high}"))
    }
}
