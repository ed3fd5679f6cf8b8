//! Axes: the position of a value, and the ticks.

use maud::{Markup, html};

use super::number;

/// Margins of the plot within its picture, in units of the picture.
const LEFT: f64 = 56.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 46.0;
/// Width of every picture; the frame has its height.
pub const WIDTH: f64 = 440.0;

#[derive(Debug, Clone)]
pub struct Axis {
    from: f64,
    to: f64,
    ticks: Vec<(f64, String)>,
    label: String,
}

impl Axis {
    /// Returns an axis from 0 to 1.
    pub fn shares(label: &str) -> Self {
        let ticks = [0.0, 0.25, 0.5, 0.75, 1.0];
        Self {
            from: 0.0,
            to: 1.0,
            ticks: ticks.map(|tick| (tick, tick.to_string())).into(),
            label: label.to_owned(),
        }
    }

    /// Returns an axis from about `from` to about `to`, with ends and ticks at round numbers.
    pub fn round(from: f64, to: f64, label: &str) -> Self {
        let (from, to) = match from < to {
            true => (from, to),
            false => (from - 0.5, from + 0.5),
        };
        let step = round_step((to - from) / 4.0);
        let first = (from / step).floor() as i64;
        let last = (to / step).ceil() as i64;
        let places = (-step.log10().floor()).clamp(0.0, 12.0) as usize;
        let tick = |at: i64| {
            let value = at as f64 * step;
            let text = match value.abs() >= 1e6 {
                true => number::value(value),
                false => format!("{value:.places$}").replace('-', "−"),
            };
            (value, text)
        };
        Self {
            from: first as f64 * step,
            to: last as f64 * step,
            ticks: (first..=last).map(tick).collect(),
            label: label.to_owned(),
        }
    }

    /// Returns an axis of shares on a square-root scale, in both directions from zero.
    pub fn roots(label: &str) -> Self {
        let shares = [
            -1.0_f64, -0.5, -0.25, -0.1, -0.01, 0.01, 0.1, 0.25, 0.5, 1.0,
        ];
        let tick = |share: f64| {
            (
                share.signum() * share.abs().sqrt(),
                number::percent(share.abs()),
            )
        };
        Self {
            from: -1.0,
            to: 1.0,
            ticks: shares.map(tick).into(),
            label: label.to_owned(),
        }
    }

    /// Returns an axis of `steps` equal steps, with ticks at some of their ends.
    pub fn steps(steps: usize, label: &str, text: impl Fn(usize) -> String) -> Self {
        let ends = [0, steps / 4, steps / 2, steps * 3 / 4, steps];
        Self {
            from: 0.0,
            to: steps.max(1) as f64,
            ticks: ends.map(|end| (end as f64, text(end))).into(),
            label: label.to_owned(),
        }
    }

    /// Returns an axis of counts on a logarithmic scale with a place for 0, see [`logarithmic`].
    pub fn counts(max: u64, label: &str) -> Self {
        let powers = (0..20).map(|power| 10_u64.saturating_pow(power));
        let ticks = powers.take_while(|tick| *tick <= max.max(1));
        let mut ticks: Vec<(f64, String)> = ticks
            .map(|tick| (logarithmic(tick), number::count(tick)))
            .collect();
        ticks.insert(0, (0.0, "0".to_owned()));
        Self {
            from: 0.0,
            to: logarithmic(max.max(1)) * 1.04,
            ticks,
            label: label.to_owned(),
        }
    }

    /// Returns the axis with other labels at its ticks.
    pub fn with_labels(mut self, label: impl Fn(f64) -> String) -> Self {
        for (at, text) in &mut self.ticks {
            *text = label(*at);
        }
        self
    }

    fn place(&self, value: f64) -> f64 {
        ((value - self.from) / (self.to - self.from)).clamp(0.0, 1.0)
    }
}

/// Returns the position of a count on a logarithmic scale with a place for 0.
pub fn logarithmic(count: u64) -> f64 {
    (count as f64 + 1.0).log10()
}

/// Returns the smallest step of at least `min` that is 1, 2 or 5 times a power of ten.
fn round_step(min: f64) -> f64 {
    let power = 10_f64.powf(min.log10().floor());
    let steps = [1.0, 2.0, 5.0].map(|step| step * power);
    let fits = steps.into_iter().find(|step| *step >= min * 0.999);
    fits.unwrap_or(10.0 * power)
}

/// Two axes and the height of their picture.
#[derive(Debug, Clone)]
pub struct Frame {
    pub x: Axis,
    pub y: Axis,
    /// Height in units of the picture.
    pub height: f64,
}

impl Frame {
    /// Returns a frame of the default height.
    pub fn new(x: Axis, y: Axis) -> Self {
        Self {
            x,
            y,
            height: 340.0,
        }
    }

    /// Returns the position of a point, clamped to the axes.
    pub fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let (wide, high) = (WIDTH - LEFT - RIGHT, self.height - TOP - BOTTOM);
        (
            LEFT + self.x.place(x) * wide,
            TOP + (1.0 - self.y.place(y)) * high,
        )
    }

    /// Draws the lines, numbers and names of both axes.
    pub fn draw(&self) -> Markup {
        let (left, right) = (LEFT, WIDTH - RIGHT);
        let middle = (TOP + self.height - BOTTOM) / 2.0;
        html! {
            g .axes aria-hidden="true" {
                @for (value, label) in &self.y.ticks {
                    @let y = self.at(self.x.from, *value).1;
                    line .grid x1=(left) x2=(right) y1=(unit(y)) y2=(unit(y)) {}
                    text x=(left - 6.0) y=(unit(y + 4.0)) text-anchor="end" { (label) }
                }
                text .name x="13" y=(middle) text-anchor="middle" transform={ "rotate(-90 13 " (middle) ")" } { (self.y.label) }
                (self.draw_x(left))
            }
        }
    }

    /// Draws the x axis alone, with lines up to the top; the frame begins at `left`.
    pub fn draw_x(&self, left: f64) -> Markup {
        let (right, bottom) = (WIDTH - RIGHT, self.height - BOTTOM);
        html! {
            @for (value, label) in &self.x.ticks {
                @let x = self.at(*value, self.y.from).0;
                line .grid x1=(unit(x)) x2=(unit(x)) y1=(TOP) y2=(bottom) {}
                text x=(unit(x)) y=(bottom + 16.0) text-anchor=(anchor(x)) { (label) }
            }
            rect .edge x=(left) y=(TOP) width=(right - left) height=(bottom - TOP) {}
            text .name x=((left + right) / 2.0) y=(self.height - 8.0) text-anchor="middle" { (self.x.label) }
        }
    }
}

/// Returns the text anchor of a tick, so that a number at the right end stays in the picture.
fn anchor(x: f64) -> &'static str {
    match x > WIDTH - RIGHT - 4.0 {
        true => "end",
        false => "middle",
    }
}

/// Renders a coordinate with one decimal.
pub fn unit(value: f64) -> String {
    format!("{value:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|tick| tick.1.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_and_hold_what_is_drawn() {
        let axis = Axis::round(-0.43, 0.31, "x");
        assert_eq!(labels(&axis), ["−0.6", "−0.4", "−0.2", "0.0", "0.2", "0.4"]);
        assert_eq!((axis.place(-9.0), axis.place(9.0)), (0.0, 1.0));
        assert_eq!(
            labels(&Axis::round(0.0, 230.0, "x")),
            ["0", "100", "200", "300"]
        );
        assert!(Axis::round(3.0, 3.0, "x").ticks.len() > 2);
        assert_eq!(
            labels(&Axis::counts(2_500, "rows")),
            ["0", "1", "10", "100", "1\u{202f}000"]
        );
    }
}
