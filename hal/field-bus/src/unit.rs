//! Units of the field and their factors to SI.

/// Unit symbol, factor from the unit to SI. An empty symbol is a bare number.
const UNITS: [(&str, f64); 25] = [
    ("", 1.0),
    ("rad", 1.0),
    ("deg", core::f64::consts::PI / 180.0),
    ("rad/s", 1.0),
    ("deg/s", core::f64::consts::PI / 180.0),
    ("rpm", core::f64::consts::PI / 30.0),
    ("N m", 1.0),
    ("kN m", 1e3),
    ("W", 1.0),
    ("kW", 1e3),
    ("MW", 1e6),
    ("m", 1.0),
    ("mm", 1e-3),
    ("m/s", 1.0),
    ("mm/s", 1e-3),
    ("m/s2", 1.0),
    ("N", 1.0),
    ("kN", 1e3),
    ("s", 1.0),
    ("ms", 1e-3),
    ("V", 1.0),
    ("A", 1.0),
    ("Hz", 1.0),
    ("K", 1.0),
    ("%", 1e-2),
];

/// The factor from `symbol` to SI; `None` for a unit that is not known.
pub(crate) fn factor_to_si(symbol: &str) -> Option<f64> {
    UNITS.iter().find(|(known, _)| *known == symbol).map(|(_, factor)| *factor)
}

/// The known units, for an error's remedy.
pub(crate) fn known() -> String {
    let symbols: Vec<&str> = UNITS.iter().map(|(symbol, _)| *symbol).filter(|s| !s.is_empty()).collect();
    symbols.join(", ")
}
