//! A `[[der]]`: a plant that controls itself and is told a limit.

use control_loops_controllers::der::DerParameters;
use hal_diagnostics::Diagnostic;
use hal_units::{Duration, Watts};

use super::PlantConfig;
use super::check::{Checker, Units};
use super::text::DerText;

impl Checker<'_> {
    pub(super) fn ders(&self, texts: &[DerText], units: &mut Units<'_>) -> Result<(), Diagnostic> {
        for text in texts {
            let revert_s = match &text.revert_s {
                Some(revert) => self.within(revert, 5, 86_400, "revert_s")?,
                None => 60,
            };
            let revert_percent = match &text.revert_percent {
                Some(percent) => self.within(percent, 0.0, 100.0, "revert_percent")?,
                None => 0.0,
            };
            let parameters = DerParameters {
                rated_power: Watts::from_kilowatts(self.within(&text.rated_kw, 1.0, 1e7, "rated_kw")?),
                revert_after: Duration::from_secs(u64::from(revert_s)),
                revert_share: revert_percent / 100.0,
            };
            let plant = PlantConfig::Der(Box::new(parameters));
            self.unit(units, (&text.name, &text.device, &text.group), plant)?;
        }
        Ok(())
    }
}
