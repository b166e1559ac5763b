//! The schedule as a picture: speed, pitch, power and thrust over the wind, as SVG.

use core::fmt::Write;

use crate::SteadyState;

const WIDTH: f64 = 640.0;
const PANEL: f64 = 150.0;
const LEFT: f64 = 70.0;
const GAP: f64 = 30.0;

/// One panel: its title and its values.
struct Panel {
    title: &'static str,
    values: Vec<f64>,
}

/// A picture of the schedule; `efficiency` turns shaft power into electrical power.
#[must_use]
pub fn svg(name: &str, efficiency: f64, schedule: &[SteadyState]) -> String {
    let power_kw = |state: &SteadyState| state.torque_nm * state.rotor_speed.get() * efficiency / 1e3;
    let of = |value: &dyn Fn(&SteadyState) -> f64| schedule.iter().map(value).collect();
    let panels = [
        Panel { title: "rotor speed, rpm", values: of(&|state| state.rotor_speed.as_rpm()) },
        Panel { title: "pitch, deg", values: of(&|state| state.pitch.as_degrees()) },
        Panel { title: "power, kW", values: of(&power_kw) },
        Panel { title: "thrust, kN", values: of(&|state| state.thrust_n / 1e3) },
    ];
    let winds: Vec<f64> = schedule.iter().map(|state| state.wind_mps).collect();
    let height = GAP + panels.len() as f64 * (PANEL + GAP) + 20.0;
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"16\" font-size=\"14\">{}</text>",
        escaped(name)
    );
    for (row, panel) in panels.iter().enumerate() {
        draw(&mut text, GAP + row as f64 * (PANEL + GAP), panel, &winds);
    }
    let _ = writeln!(text, "<text x=\"{}\" y=\"{}\">wind, m/s</text>\n</svg>", WIDTH / 2.0, height - 6.0);
    text
}

fn draw(text: &mut String, top: f64, panel: &Panel, winds: &[f64]) {
    let (Some(&from), Some(&to)) = (winds.first(), winds.last()) else { return };
    let most = panel.values.iter().copied().fold(0.0, f64::max).max(1e-9) * 1.08;
    let least = panel.values.iter().copied().fold(0.0, f64::min);
    let x = |wind: f64| LEFT + (wind - from) / (to - from).max(1e-9) * (WIDTH - LEFT - 20.0);
    let y = |value: f64| top + PANEL * (1.0 - (value - least) / (most - least));
    let _ = writeln!(
        text,
        "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{}\" height=\"{PANEL}\" fill=\"none\" stroke=\"#999\"/>\n\
         <text x=\"{}\" y=\"{}\">{}</text>",
        WIDTH - LEFT - 20.0,
        LEFT + 6.0,
        top + 14.0,
        panel.title
    );
    for line in 0..=4 {
        let value = least + (most - least) * f64::from(line) / 4.0;
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value:.1}</text>",
            LEFT - 6.0,
            y(value) + 4.0
        );
    }
    for wind in (from.ceil() as u32..=to.floor() as u32).filter(|wind| wind % 5 == 0) {
        let at = x(f64::from(wind));
        let bottom = top + PANEL;
        let _ = writeln!(
            text,
            "<line x1=\"{at:.1}\" y1=\"{top}\" x2=\"{at:.1}\" y2=\"{bottom}\" stroke=\"#ddd\"/>\n\
             <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{wind}</text>",
            bottom + 14.0
        );
    }
    let points: Vec<String> =
        winds.iter().zip(&panel.values).map(|(&w, &v)| format!("{:.1},{:.1}", x(w), y(v))).collect();
    let _ = writeln!(
        text,
        "<polyline fill=\"none\" stroke=\"#06c\" stroke-width=\"1.5\" points=\"{}\"/>",
        points.join(" ")
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
