//! Histograms.

use maud::{Markup, html};

use super::{
    axis::{Frame, unit},
    figure::{Figure, class},
};

#[derive(Debug, Clone, Copy)]
pub struct Bar {
    /// Left edge, in values of the axis.
    pub from: f64,
    /// Right edge, in values of the axis.
    pub to: f64,
    /// Height from zero; a negative bar points down.
    pub height: f64,
}

/// Draws bars up and down from zero, in the style of series `at`.
pub fn draw(figure: &Figure<'_>, frame: &Frame, at: usize, bars: &[Bar]) -> Markup {
    let inside = html! {
        (frame.draw())
        @for bar in bars.iter().filter(|bar| bar.height != 0.0) {
            @let (left, zero) = frame.at(bar.from, 0.0);
            @let (right, end) = frame.at(bar.to, bar.height);
            rect .bar.(class(at)).hollow[bar.height < 0.0] x=(unit(left + 0.4)) width=(unit((right - left - 0.8).max(0.4)))
                y=(unit(zero.min(end))) height=(unit((zero - end).abs())) {}
        }
        @let (left, zero) = frame.at(f64::NEG_INFINITY, 0.0);
        @let right = frame.at(f64::INFINITY, 0.0).0;
        line .zero x1=(unit(left)) x2=(unit(right)) y1=(unit(zero)) y2=(unit(zero)) {}
    };
    figure.draw(&[], &inside)
}
