//! Grouped bars, as SVG that follows the reader's light or dark scheme. What is drawn is
//! rectangles, lines and text: a library for plots would be larger than this, and know no dark
//! scheme.

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;

/// A chart: panels below each other, with the same series in each.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Above everything.
    pub title: String,
    /// Below the title: what the figures were measured on.
    pub subtitle: String,
    /// Names of the series, in the order of their colours.
    pub series: Vec<String>,
    /// From top to bottom.
    pub panels: Vec<Panel>,
}

/// A panel: a group of bars for each command.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What it shows, with the unit.
    pub title: String,
    /// A logarithmic axis, for values of several magnitudes.
    pub logarithmic: bool,
    /// Groups: a label, and a value for each series that has one.
    pub groups: Vec<(String, Vec<Option<f64>>)>,
}

const WIDTH: f64 = 1200.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const HEAD: f64 = 96.0;
const PLOT: f64 = 200.0;
const BELOW: f64 = 78.0;
const ABOVE: f64 = 30.0;
const COLOURS: [&str; 5] = ["#0a9396", "#8a94a6", "#d1495b", "#e0a030", "#6a4c93"];

const LIGHT: &str = ".bg{fill:#ffffff}.text{fill:#1f2328}.faint{fill:#57606a}.grid{stroke:#d0d7de}";
const DARK: &str = ".bg{fill:#0d1117}.text{fill:#e6edf3}.faint{fill:#9ba4ae}.grid{stroke:#30363d}";

impl Chart {
    /// Writes `<name>.svg` into a directory.
    ///
    /// # Errors
    /// Those of the file.
    pub fn save(&self, dir: &Path, name: &str) -> io::Result<()> {
        fs::write(dir.join(format!("{name}.svg")), self.svg())
    }

    fn height(&self) -> f64 {
        HEAD + (ABOVE + PLOT + BELOW) * self.panels.len() as f64
    }

    fn svg(&self) -> String {
        let height = self.height();
        let style = format!("{LIGHT}@media (prefers-color-scheme:dark){{{DARK}}}");
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             width=\"{WIDTH}\" height=\"{height}\" font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\">\n\
             <style>{style}</style>\n\
             <rect class=\"bg\" width=\"{WIDTH}\" height=\"{height}\" rx=\"8\"/>\n"
        );
        text(
            &mut svg,
            (LEFT, 32.0),
            "text",
            "font-size=\"20\" font-weight=\"bold\"",
            &self.title,
        );
        text(
            &mut svg,
            (LEFT, 53.0),
            "faint",
            "font-size=\"12\"",
            &self.subtitle,
        );
        for (at, name) in self.series.iter().enumerate() {
            let x = LEFT + 190.0 * at as f64;
            rect(
                &mut svg,
                (x, 68.0),
                (14.0, 14.0),
                COLOURS[at % COLOURS.len()],
            );
            text(&mut svg, (x + 20.0, 80.0), "text", "font-size=\"13\"", name);
        }
        for (at, panel) in self.panels.iter().enumerate() {
            let top = HEAD + (ABOVE + PLOT + BELOW) * at as f64 + ABOVE;
            panel.draw(&mut svg, top, self.series.len());
        }
        svg.push_str("</svg>\n");
        svg
    }
}

impl Panel {
    fn draw(&self, svg: &mut String, top: f64, series: usize) {
        let bottom = top + PLOT;
        let title = "font-size=\"14\" font-weight=\"bold\"";
        text(svg, (LEFT, top - 12.0), "text", title, &self.title);
        let axis = Axis::of(
            self.groups.iter().flat_map(|(_, bars)| bars).flatten(),
            self.logarithmic,
        );
        for &tick in &axis.ticks {
            let y = bottom - PLOT * axis.place(tick);
            let (from, to) = (LEFT, WIDTH - RIGHT);
            let _ = writeln!(svg, "<path class=\"grid\" d=\"M{from} {y:.1}H{to}\"/>");
            text(
                svg,
                (LEFT - 8.0, y + 4.0),
                "faint",
                "font-size=\"11\" text-anchor=\"end\"",
                &short(tick),
            );
        }
        let group = (WIDTH - LEFT - RIGHT) / self.groups.len().max(1) as f64;
        let bar = group * 0.8 / series as f64;
        for (at, (label, bars)) in self.groups.iter().enumerate() {
            let left = LEFT + group * at as f64 + group * 0.1;
            for (index, value) in bars.iter().enumerate() {
                let Some(value) = value else { continue };
                let height = (PLOT * axis.place(*value)).max(0.5);
                let corner = (left + bar * index as f64, bottom - height);
                rect(
                    svg,
                    corner,
                    (bar * 0.92, height),
                    COLOURS[index % COLOURS.len()],
                );
            }
            let (x, y) = (left + group * 0.4 + 4.0, bottom + 14.0);
            let turned = format!(
                "font-size=\"11\" text-anchor=\"end\" transform=\"rotate(-35 {x:.1} {y:.1})\""
            );
            text(svg, (x, y), "text", &turned, label);
        }
    }
}

/// A panel's axis: from zero, or from the power of ten below the lowest value.
struct Axis {
    logarithmic: bool,
    low: f64,
    high: f64,
    ticks: Vec<f64>,
}

impl Axis {
    fn of<'a>(values: impl Iterator<Item = &'a f64>, logarithmic: bool) -> Axis {
        let (low, high) = values.fold((f64::MAX, f64::MIN_POSITIVE), |(low, high), &value| {
            (low.min(value), high.max(value))
        });
        if logarithmic {
            let (from, to) = (low.max(1e-6).log10().floor(), high.log10().ceil());
            let to = to.max(from + 1.0);
            let powers = (0..=(to - from) as i32).map(|step| 10f64.powf(from + f64::from(step)));
            return Axis {
                logarithmic,
                low: from,
                high: to,
                ticks: powers.collect(),
            };
        }
        let rough = high / 4.0;
        let power = 10f64.powf(rough.log10().floor());
        let steps = [1.0, 2.0, 2.5, 5.0, 10.0];
        let step = steps
            .iter()
            .find(|&&step| step * power >= rough)
            .unwrap_or(&10.0)
            * power;
        let count = (high / step).ceil() as i32;
        Axis {
            logarithmic,
            low: 0.0,
            high: step * f64::from(count),
            ticks: (0..=count).map(|tick| step * f64::from(tick)).collect(),
        }
    }

    /// Where a value is, from 0 at the bottom to 1 at the top.
    fn place(&self, value: f64) -> f64 {
        let value = if self.logarithmic {
            value.max(1e-9).log10()
        } else {
            value
        };
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

fn short(value: f64) -> String {
    match value {
        0.0 => "0".into(),
        v if v >= 1e6 => format!("{} M", trimmed(v / 1e6)),
        v if v >= 1e3 => format!("{} k", trimmed(v / 1e3)),
        v => trimmed(v),
    }
}

fn trimmed(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn rect(svg: &mut String, (x, y): (f64, f64), (width, height): (f64, f64), colour: &str) {
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>"
    );
}

fn text(svg: &mut String, (x, y): (f64, f64), class: &str, attributes: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        svg,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" {attributes}>{text}</text>"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_reaches_beyond_its_highest_value() {
        let axis = Axis::of([3.0, 87_000.0].iter(), false);
        assert_eq!((axis.place(0.0), axis.ticks[1]), (0.0, 25_000.0));
        assert!(axis.place(87_000.0) < 1.0 && axis.high >= 87_000.0);
        let axis = Axis::of([0.03, 20.0].iter(), true);
        assert_eq!(axis.ticks.len(), 5);
        assert!((axis.place(1.0) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_bar_is_drawn_for_each_value_there_is() {
        let panel = Panel {
            title: "a & b".into(),
            logarithmic: false,
            groups: vec![("GET".into(), vec![Some(1.0), None, Some(2.0)])],
        };
        let chart = Chart {
            title: String::new(),
            subtitle: String::new(),
            series: vec!["x".into(), "y".into(), "z".into()],
            panels: vec![panel],
        };
        let svg = chart.svg();
        // The background, three squares of the legend, two bars.
        assert_eq!(svg.matches("<rect").count(), 6);
        assert!(svg.contains("a &amp; b"));
    }
}
