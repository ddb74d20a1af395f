//! Lines over a number: curves of training, accuracy over a perturbation.

use std::fmt::Write;

use svg::node::element::{Circle, Group, Path};

use super::figure::{Panel, cut, line, px, text, tip, width_of};
use super::scale::{Scale, Unit, exact};
use super::style::{COLOURS, MARGIN, WIDTH};

/// Some lines in one frame. Each has its name and last value at its end, so there is no legend.
#[derive(Debug, Clone, PartialEq)]
pub struct LineChart {
    /// What stands above it.
    pub title: String,
    /// Along.
    pub x: Axis,
    /// Upwards; its label is not drawn: the title says what it is.
    pub y: Axis,
    /// The lines.
    pub series: Vec<Series>,
    /// Places along that something begins at, and every line anew.
    pub marks: Vec<Mark>,
}

/// An axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// What it counts.
    pub label: String,
    /// Where it begins; none: below the smallest value.
    pub from: Option<f64>,
    /// Where it ends; none: above the largest value.
    pub to: Option<f64>,
    /// How its numbers are written.
    pub unit: Unit,
}

/// A line.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// `(x, y)` from left to right. Where a number is not finite the line has a gap.
    pub points: Vec<(f64, f64)>,
}

/// A place along.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Where.
    pub x: f64,
    /// What begins there.
    pub label: String,
}

/// Where values are on the page.
struct Frame {
    x: Scale,
    y: Scale,
    right: f64,
}

impl Frame {
    fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (
            LEFT + INSET + self.x.place(x) * (self.right - LEFT - 2.0 * INSET),
            BOTTOM - self.y.place(y) * (BOTTOM - TOP),
        )
    }
}

impl Panel for LineChart {
    fn draw(&self) -> (Group, f64) {
        let widest = self
            .series
            .iter()
            .map(|series| width_of(&series.name))
            .fold(WIDTH_OF_VALUE, f64::max);
        let frame = Frame {
            x: self.scale(&self.x, |point| point.0, true),
            y: self.scale(&self.y, |point| point.1, false),
            right: WIDTH - MARGIN - widest.min(MAX_NAME) - 6.0,
        };
        let mut group = Group::new().add(text(MARGIN, 18.0, "head", &self.title));
        group = self.axes(group, &frame);
        for (index, series) in self.series.iter().enumerate() {
            let colour = index % COLOURS;
            group = group.add(drawn(series, colour, &frame, self.y.unit, &self.marks));
        }
        (self.names(group, &frame), HEIGHT)
    }
}

impl LineChart {
    fn scale(&self, axis: &Axis, of: impl Fn(&(f64, f64)) -> f64, tight: bool) -> Scale {
        let finite = || {
            let points = self.series.iter().flat_map(|series| &series.points);
            points
                .filter(|point| point.0.is_finite() && point.1.is_finite())
                .map(&of)
        };
        let low = axis
            .from
            .unwrap_or_else(|| finite().fold(f64::INFINITY, f64::min));
        let high = axis
            .to
            .unwrap_or_else(|| finite().fold(f64::NEG_INFINITY, f64::max));
        let fixed = [axis.from.is_some() || tight, axis.to.is_some() || tight];
        Scale::new(low, high, fixed, if tight { 8.0 } else { 4.0 }, axis.unit)
    }

    fn axes(&self, mut group: Group, frame: &Frame) -> Group {
        for tick in frame.y.ticks() {
            let (_, y) = frame.at((0.0, tick));
            group = group
                .add(line((LEFT, y), (frame.right, y), "rule"))
                .add(text(LEFT - 5.0, y + 3.5, "end soft", &frame.y.label(tick)));
        }
        group = group.add(line((LEFT, BOTTOM), (frame.right, BOTTOM), "base"));
        for tick in frame.x.ticks() {
            let (x, _) = frame.at((tick, 0.0));
            group = group
                .add(line((x, BOTTOM), (x, BOTTOM + 3.0), "base"))
                .add(text(x, BOTTOM + 14.0, "middle soft", &frame.x.label(tick)));
        }
        let middle = (LEFT + frame.right) / 2.0;
        group = group.add(text(middle, BOTTOM + 28.0, "middle soft", &self.x.label));
        for mark in &self.marks {
            let (x, _) = frame.at((mark.x, 0.0));
            group = group.add(line((x, TOP), (x, BOTTOM), "mark")).add(text(
                x + 3.0,
                TOP + 8.0,
                "soft small",
                &mark.label,
            ));
        }
        group
    }

    /// Name and last value at the end of each line, moved apart where two would overlap.
    fn names(&self, mut group: Group, frame: &Frame) -> Group {
        let mut ends: Vec<(usize, f64, f64)> = Vec::new();
        for (index, series) in self.series.iter().enumerate() {
            if let Some(point) = series.last() {
                ends.push((index, point.1, frame.at(point).1));
            }
        }
        ends.sort_by(|a, b| a.2.total_cmp(&b.2).then(a.0.cmp(&b.0)));
        let room = BOTTOM - TOP;
        let apart = NAME_HEIGHT.min(room / ends.len().max(1) as f64);
        // Down as far as the one above needs, then up again as far as the floor needs.
        let mut least = TOP;
        for end in &mut ends {
            end.2 = end.2.max(least);
            least = end.2 + apart;
        }
        let mut most = BOTTOM - 10.0;
        for end in ends.iter_mut().rev() {
            end.2 = end.2.min(most);
            most = end.2 - apart;
        }
        let x = frame.right + 4.0;
        for (index, value, y) in ends {
            let Some(series) = self.series.get(index) else {
                continue;
            };
            let colour = index % COLOURS;
            let class = format!("f{colour} strong");
            group = group.add(text(x, y + 2.0, &class, &cut(&series.name, MAX_NAME)));
            // Where there is no room for two lines each the value is left to the tooltip.
            if apart >= NAME_HEIGHT {
                group = group.add(text(
                    x,
                    y + 14.0,
                    &format!("f{colour}"),
                    &exact(value, self.y.unit),
                ));
            }
        }
        group
    }
}

impl Series {
    fn last(&self) -> Option<(f64, f64)> {
        let points = self.points.iter().rev();
        points
            .copied()
            .find(|(x, y)| x.is_finite() && y.is_finite())
    }
}

fn drawn(series: &Series, colour: usize, frame: &Frame, unit: Unit, marks: &[Mark]) -> Group {
    let mut path = String::new();
    let mut pen_down = false;
    let mut dots = Group::new();
    for &point in &series.points {
        if !(point.0.is_finite() && point.1.is_finite()) {
            pen_down = false;
            continue;
        }
        pen_down &= marks.iter().all(|mark| mark.x.total_cmp(&point.0).is_ne());
        let (x, y) = frame.at(point);
        // Writing to a string cannot fail.
        let _ = write!(
            path,
            "{}{} {}",
            if pen_down { 'L' } else { 'M' },
            px(x),
            px(y)
        );
        pen_down = true;
        if series.points.len() <= MAX_DOTS {
            let dot = Circle::new()
                .set("cx", px(x))
                .set("cy", px(y))
                .set("r", 2.5);
            dots = dots.add(dot.set("class", format!("f{colour}")));
        }
    }
    let dashed = if colour % 2 == 1 { " dashed" } else { "" };
    let said = match series.last() {
        Some((_, last)) => format!("{}: {}", series.name, exact(last, unit)),
        None => series.name.clone(),
    };
    Group::new()
        .add(tip(&said))
        .add(
            Path::new()
                .set("d", path)
                .set("class", format!("line c{colour}{dashed}")),
        )
        .add(dots)
}

/// The frame that the lines are in.
const LEFT: f64 = 46.0;
const TOP: f64 = 32.0;
const BOTTOM: f64 = 160.0;
/// The panel.
const HEIGHT: f64 = 198.0;
/// From the frame's sides to the first and last point.
const INSET: f64 = 6.0;
/// A name and the value below it.
const NAME_HEIGHT: f64 = 27.0;
const WIDTH_OF_VALUE: f64 = 46.0;
const MAX_NAME: f64 = 100.0;
/// With more points than this they are not dotted.
const MAX_DOTS: usize = 30;
