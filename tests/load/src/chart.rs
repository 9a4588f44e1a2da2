//! Charts of a run, as SVG.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::{coord::Shift, prelude::*};

use crate::{report::Report, stats::Second};

const SIZE: (u32, u32) = (900, 420);
/// Of the chart's height, left free above the lines for what they are called.
const ROOM: f64 = 0.35;
/// The first shade tells apart, also for those who see no red or green.
const LINES: [RGBColor; 5] = [
    RGBColor(0, 90, 181),
    RGBColor(220, 90, 0),
    RGBColor(90, 90, 90),
    RGBColor(0, 140, 120),
    RGBColor(170, 0, 120),
];

/// A line of a chart: its name and its points. Where there is nothing to show, `y` is NaN, and the line has a gap.
pub type Line = (String, Vec<(f64, f64)>);

/// What a chart says besides its lines.
#[derive(Debug, Clone, Copy)]
pub struct Labels<'a> {
    /// Above it.
    pub title: &'a str,
    /// Along the bottom.
    pub x: &'a str,
    /// Along the side.
    pub y: &'a str,
    /// Both sides grow tenfold from mark to mark.
    pub logarithmic: bool,
}

/// What a line shows of a second.
type Value = fn(&Second) -> f64;

/// Deliveries a second and their p99, second by second: two files beside each other, `NAME-rate.svg` and `NAME-latency.svg`.
///
/// # Errors
/// A file cannot be written.
pub fn write(report: &Report, stem: &Path) -> Result<()> {
    let points = |value: Value| -> Vec<(f64, f64)> {
        report.seconds.iter().enumerate().map(|(at, second)| (at as f64 + 1.0, value(second))).collect()
    };
    let file = |what: &str| {
        let name = stem.file_name().unwrap_or_default().to_string_lossy();
        stem.with_file_name(format!("{name}-{what}.svg"))
    };
    let rate = Labels { title: "Deliveries", x: "seconds", y: "deliveries a second", logarithmic: false };
    lines(&file("rate"), rate, &[("delivered".into(), points(|second| second.delivered as f64))])?;
    let latency =
        Labels { title: "From send to delivery", x: "seconds", y: "milliseconds", logarithmic: false };
    let percentiles: [(&str, Value); 2] =
        [("p50", |second| time(second, 0.5)), ("p99", |second| time(second, 0.99))];
    lines(&file("latency"), latency, &percentiles.map(|(name, value)| (name.into(), points(value))))
}

/// Of a second in which nothing came there is none.
fn time(second: &Second, share: f64) -> f64 {
    if second.times.is_empty() { f64::NAN } else { second.times.at(share) }
}

/// One chart.
///
/// # Errors
/// The file cannot be written.
pub fn lines(file: &Path, labels: Labels<'_>, lines: &[Line]) -> Result<()> {
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    draw(&area, labels, lines).map_err(|error| anyhow!("{}: {error}", file.display()))
}

fn draw(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    labels: Labels<'_>,
    lines: &[Line],
) -> Result<(), Box<dyn std::error::Error>> {
    area.fill(&WHITE)?;
    let all = || lines.iter().flat_map(|(_, points)| points);
    let bound =
        |pick: fn(&(f64, f64)) -> f64, best: fn(f64, f64) -> f64, from: f64| all().map(pick).fold(from, best);
    let (most_x, most_y) = (bound(|p| p.0, f64::max, 1.0), bound(|p| p.1, f64::max, 1e-9));
    let mut builder = ChartBuilder::on(area);
    builder.caption(labels.title, ("sans-serif", 20)).margin(12).x_label_area_size(44).y_label_area_size(76);
    macro_rules! finish {
        ($chart:expr) => {{
            let mut chart = $chart;
            chart
                .configure_mesh()
                .x_desc(labels.x)
                .y_desc(labels.y)
                .label_style(("sans-serif", 13))
                .light_line_style(TRANSPARENT)
                .y_label_formatter(&|value| short(*value))
                .x_label_formatter(&|value| short(*value))
                .draw()?;
            for ((name, points), colour) in lines.iter().zip(LINES.iter().cycle()) {
                let style = ShapeStyle::from(colour).stroke_width(2);
                for (nth, part) in points.split(|point| point.1.is_nan()).enumerate() {
                    let part =
                        chart.draw_series(LineSeries::new(part.iter().copied(), style).point_size(2))?;
                    if nth == 0 {
                        part.label(name).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
                    }
                }
            }
            chart
                .configure_series_labels()
                .background_style(WHITE.mix(0.8))
                .border_style(BLACK.mix(0.3))
                .position(SeriesLabelPosition::UpperLeft)
                .label_font(("sans-serif", 13))
                .draw()?;
        }};
    }
    if labels.logarithmic {
        let (least_x, least_y) = (bound(|p| p.0, f64::min, most_x), bound(|p| p.1, f64::min, most_y));
        let top = most_y * (most_y / least_y).powf(ROOM).max(1.3);
        finish!(
            builder
                .build_cartesian_2d((least_x..most_x * 1.1).log_scale(), (least_y * 0.8..top).log_scale())?
        );
    } else {
        finish!(builder.build_cartesian_2d(0.0..most_x, 0.0..most_y * (1.0 + ROOM))?);
    }
    area.present()?;
    Ok(())
}

/// 12,300 as 12.3k.
fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 1e6 => format!("{}M", (value / 1e4).round() / 100.0),
        v if v >= 1e3 => format!("{}k", (value / 1e1).round() / 100.0),
        v if v >= 10.0 || v == 0.0 => format!("{}", value.round()),
        _ => format!("{}", (value * 1e3).round() / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_is_an_svg_with_its_names_in_it() {
        let file = std::env::temp_dir().join(format!("chat-load-chart-{}.svg", std::process::id()));
        let points = vec![(1.0, 10.0), (10.0, 20_000.0), (100.0, f64::NAN), (1_000.0, 2_000_000.0)];
        for logarithmic in [false, true] {
            let labels = Labels { title: "Growth", x: "rooms", y: "a second", logarithmic };
            lines(&file, labels, &[("ours".to_owned(), points.clone())]).unwrap();
            let svg = std::fs::read_to_string(&file).unwrap();
            for word in ["<svg", "Growth", "rooms", "a second", "ours", "polyline"] {
                assert!(svg.contains(word), "{word}");
            }
            assert!(!svg.contains("NaN"));
        }
        std::fs::remove_file(file).unwrap();
        assert_eq!(short(12_340.0), "12.34k");
        assert_eq!(short(0.25), "0.25");
    }
}
