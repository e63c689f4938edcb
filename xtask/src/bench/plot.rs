//! Curves as an SVG picture: two logarithmic axes, one line per curve, a legend. Our own, since a
//! library for this would weigh more than all of `xtask`.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// What is to be drawn.
#[derive(Serialize, Deserialize)]
pub(super) struct Plot {
    pub(super) id: String,
    title: String,
    x: String,
    y: String,
    /// Names and points.
    curves: Vec<(String, Vec<(f64, f64)>)>,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
/// The field of the curves within the picture.
const LEFT: f64 = 84.0;
const RIGHT: f64 = WIDTH - 24.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = HEIGHT - 60.0;
/// Colours that people with any colour vision tell apart (Okabe and Ito).
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];

/// A logarithmic axis: values between `least` and `most` lie between `from` and `to`.
struct Axis {
    least: f64,
    most: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// An axis for all of `values`; those that no logarithm has are left out.
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let values = values.filter(|value| *value > 0.0);
        let (least, most) = values.fold((f64::INFINITY, 0.0_f64), |(least, most), value| {
            (least.min(value), most.max(value))
        });
        // Without values, or with one only, there is still an axis.
        let (least, most) = match most > 0.0 {
            true => (least, most.max(least * 10.0)),
            false => (1.0, 10.0),
        };
        Self {
            least,
            most,
            from,
            to,
        }
    }

    fn place(&self, value: f64) -> f64 {
        let share = (value / self.least).ln() / (self.most / self.least).ln();
        self.from + share * (self.to - self.from)
    }

    /// Round values on the axis: 1, 2, 5 times the powers of ten, or the powers alone when those are
    /// enough.
    fn ticks(&self) -> Vec<f64> {
        let decades = (self.most / self.least).log10();
        let steps: &[f64] = if decades > 3.0 {
            &[1.0]
        } else {
            &[1.0, 2.0, 5.0]
        };
        let (first, last) = (self.least.log10().floor(), self.most.log10().ceil());
        (first as i32..=last as i32)
            .flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)))
            .filter(|tick| *tick >= self.least * 0.999 && *tick <= self.most * 1.001)
            .collect()
    }
}

/// The picture.
pub(super) fn draw(plot: &Plot) -> String {
    let points = || plot.curves.iter().flat_map(|(_, points)| points);
    let x = Axis::over(points().map(|point| point.0), LEFT, RIGHT);
    let mut y = Axis::over(points().map(|point| point.1), BOTTOM, TOP);
    // From one round value to another, with room for the legend.
    y.least = 10_f64.powf((y.least.log10() * 4.0).floor() / 4.0);
    y.most *= 1.6;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"13\" fill=\"#222\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"26\" font-size=\"16\" font-weight=\"bold\">{}</text>\n",
        escaped(&plot.title)
    );
    grid(&mut svg, &x, &y);
    let middle = (LEFT + RIGHT) / 2.0;
    let _ = writeln!(
        svg,
        "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
        HEIGHT - 14.0,
        escaped(&plot.x)
    );
    let middle = (TOP + BOTTOM) / 2.0;
    let _ = writeln!(
        svg,
        "<text transform=\"translate(18 {middle}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
        escaped(&plot.y)
    );
    for (index, (name, points)) in plot.curves.iter().enumerate() {
        curve(&mut svg, index, name, points, &x, &y);
    }
    svg.push_str("</svg>\n");
    svg
}

fn grid(svg: &mut String, x: &Axis, y: &Axis) {
    for tick in x.ticks() {
        let at = x.place(tick);
        let _ = writeln!(
            svg,
            "<path d=\"M{at:.1} {TOP}V{BOTTOM}\" stroke=\"#ddd\"/>\
             <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            BOTTOM + 20.0,
            short(tick)
        );
    }
    for tick in y.ticks() {
        let at = y.place(tick);
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {at:.1}H{RIGHT}\" stroke=\"#ddd\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            at + 4.0,
            short(tick)
        );
    }
}

fn curve(svg: &mut String, index: usize, name: &str, points: &[(f64, f64)], x: &Axis, y: &Axis) {
    let colour = COLOURS[index % COLOURS.len()];
    let places = points
        .iter()
        .filter(|point| point.0 > 0.0 && point.1 > 0.0)
        .map(|point| (x.place(point.0), y.place(point.1)));
    let (mut line, mut dots) = (String::new(), String::new());
    for (left, top) in places {
        let _ = write!(line, "{left:.1},{top:.1} ");
        let _ = write!(dots, "<circle cx=\"{left:.1}\" cy=\"{top:.1}\" r=\"3.5\"/>");
    }
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\
         <g fill=\"{colour}\">{dots}</g>",
        line.trim_end()
    );
    let at = TOP + 18.0 * (index as f64 + 1.0);
    let _ = writeln!(
        svg,
        "<rect x=\"{}\" y=\"{}\" width=\"14\" height=\"4\" fill=\"{colour}\"/>\
         <text x=\"{}\" y=\"{at}\">{}</text>",
        LEFT + 12.0,
        at - 6.0,
        LEFT + 34.0,
        escaped(name)
    );
}

/// A tick in few characters.
fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{}M", value / 1e6),
        value if value >= 1e3 => format!("{}k", value / 1e3),
        value => format!("{value}"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: Vec<(f64, f64)>) -> Plot {
        Plot {
            id: "x".into(),
            title: "A < B".into(),
            x: "callers".into(),
            y: "events".into(),
            curves: vec![("ours".into(), points)],
        }
    }

    #[test]
    fn every_point_lies_within_the_field() {
        let svg = draw(&plot(vec![(1.0, 10.0), (256.0, 90_000.0)]));
        let places = svg.split("cx=\"").skip(1).map(|rest| {
            let (left, rest) = rest.split_once('"').expect("it ends");
            let top = rest.split('"').nth(1).expect("it has a height");
            (
                left.parse::<f64>().expect("a number"),
                top.parse::<f64>().expect("a number"),
            )
        });
        let places: Vec<_> = places.collect();
        assert_eq!(places.len(), 2);
        for (left, top) in places {
            assert!((LEFT..=RIGHT).contains(&left), "{left}");
            assert!((TOP..=BOTTOM).contains(&top), "{top}");
        }
        assert!(svg.contains("A &lt; B"));
    }

    #[test]
    fn a_plot_without_points_is_still_a_picture() {
        for points in [vec![], vec![(0.0, 0.0)], vec![(5.0, 5.0)]] {
            let svg = draw(&plot(points));
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
