//! Histograms.

use maud::{Markup, html};

use super::{
    axis::{Frame, unit},
    figure::{Figure, class},
};

/// One bar.
#[derive(Debug, Clone, Copy)]
pub struct Bar {
    /// Its left edge on the frame's axis.
    pub from: f64,
    /// Its right edge.
    pub to: f64,
    /// How far it reaches from zero; below it where negative.
    pub height: f64,
}

/// Bars from zero, up and down, in the style of series `at`.
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
