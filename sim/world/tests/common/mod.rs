//! Controllers for the built-in turbine.

use control_loops_controllers::turbine::TurbineParameters;
use control_loops_tuning::TurbineDescription;
use hal_diagnostics::Document;
use sim_plants::RotorSurface;

/// The Takt law, tuned for the built-in turbine with these lines in the description's `[tuning]`.
pub(crate) fn tuned(tuning: &str) -> TurbineParameters {
    let text = format!("{}\n[tuning]\n{tuning}\n", control_loops_tuning::NREL_5MW);
    let description = TurbineDescription::parse(&Document::new("nrel-5mw.toml", &text)).unwrap();
    let rotor = RotorSurface::nrel_5mw().as_table();
    control_loops_tuning::tune("nrel-5mw.toml", &description, &rotor).unwrap().parameters
}
