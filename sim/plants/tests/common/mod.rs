//! The published data of the NREL 5-MW reference turbine, where `TAKT_DATA` says.
#![allow(dead_code)] // Each test file uses a part of it.

use std::path::PathBuf;

/// Name in the messages, text.
pub(crate) fn published_table() -> (String, String) {
    let path = data("Cp_Ct_Cq.NREL5MW.txt");
    (path.display().to_string(), std::fs::read_to_string(path).unwrap())
}

/// One published steady state (OpenFAST, rigid, baseline controller).
#[derive(Debug, Clone, Copy)]
pub(crate) struct SteadyState {
    pub(crate) wind_mps: f64,
    pub(crate) rotor_rpm: f64,
    pub(crate) pitch_deg: f64,
    pub(crate) power_kw: f64,
    pub(crate) thrust_kn: f64,
    pub(crate) power_coefficient: f64,
    pub(crate) tip_speed_ratio: f64,
}

pub(crate) fn published_steady_states() -> Vec<SteadyState> {
    let text = std::fs::read_to_string(data("nrel5mw_steady_state_openfast_rigid.csv")).unwrap();
    text.lines()
        .skip(1)
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let fields: Vec<f64> = line.split('\t').map(|field| field.trim().parse().unwrap()).collect();
            SteadyState {
                wind_mps: fields[0],
                rotor_rpm: fields[1],
                pitch_deg: fields[2],
                power_kw: fields[4],
                thrust_kn: fields[6],
                power_coefficient: fields[12],
                tip_speed_ratio: fields[14],
            }
        })
        .collect()
}

fn data(name: &str) -> PathBuf {
    PathBuf::from(std::env::var_os("TAKT_DATA").unwrap()).join("wind").join(name)
}
