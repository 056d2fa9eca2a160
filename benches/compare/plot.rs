//! Some of the figures as a picture: four panels, of those parts that were
//! measured, over one legend. It brings its own white background.

use plotters::{
    coord::{Shift, ranged1d::SegmentValue},
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};
use redlock_quorum_benches::{
    common::Result,
    contenders::Kind,
    report::{least, most},
};

use crate::{
    figures::{ACQUIRE, CLIENT_CPU, Case, Figures, PAIRS_A_SECOND, Part},
    output::About,
    plan::Plan,
};

const SIZE: (u32, u32) = (1200, 940);
const NODES: usize = 5;
const MOST_LABELS: usize = 12;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

pub fn svg(plan: &Plan, about: &About, figures: &Figures) -> Result<String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let (head, rest) = root.split_vertically(64);
        let (panels, foot) = rest.split_vertically(SIZE.1 as i32 - 64 - 36);
        let title = ("sans-serif", 22).into_font().color(&BLACK);
        head.draw_text("redlock-quorum beside raw fan-outs and rslock, N = 5", &title, (20, 10))?;
        let small = ("sans-serif", 14).into_font().color(&GREY);
        head.draw_text(&about.summary(), &small, (20, 40))?;
        let panels = panels.split_evenly((2, 2));
        draw_latency(&panels[0], figures)?;
        draw_hung(&panels[1], figures)?;
        for (panel, title, name) in [
            (&panels[2], "Pairs a second, by tasks", PAIRS_A_SECOND),
            (&panels[3], "CPU of the client for a pair, µs, by tasks", CLIENT_CPU),
        ] {
            draw_by_tasks(panel, title, &by_tasks(plan, figures, name))?;
        }
        draw_legend(&foot)?;
        root.present()?;
    }
    Ok(svg)
}

const GREY: RGBColor = RGBColor(90, 90, 90);

fn color(kind: Kind) -> RGBColor {
    match kind {
        Kind::FloorA => RGBColor(70, 70, 70),
        Kind::FloorB => RGBColor(160, 160, 160),
        Kind::FloorC => RGBColor(190, 160, 60),
        Kind::Rslock => RGBColor(215, 90, 20),
        Kind::Quorum => RGBColor(30, 125, 200),
        Kind::QuorumThread => RGBColor(10, 60, 120),
        // Not in these plots.
        Kind::Fenced | Kind::Strict | Kind::StrictFenced | Kind::Served | Kind::Idle => GREY,
    }
}

/// A row of p50 and p99.
struct Row {
    label: String,
    color: RGBAColor,
    p50: f64,
    p99: f64,
}

impl Row {
    fn new(figures: &Figures, case: Case, kind: Kind, well: bool) -> Option<Self> {
        let [p50, p99] = [ACQUIRE.p50, ACQUIRE.p99].map(|name| figures.median(case, kind, name));
        let label = if well { "all well".to_owned() } else { kind.to_string() };
        let color = color(kind).mix(if well { 0.45 } else { 1.0 });
        Some(Self { label, color, p50: p50?, p99: p99? })
    }
}

fn draw_latency(area: &Area<'_>, figures: &Figures) -> Result<()> {
    let case = Case::new(Part::Latency, NODES, 1);
    let rows = Kind::ALL.into_iter().filter_map(|kind| Row::new(figures, case, kind, false));
    draw_rows(area, "Acquire at one task: p50 ● to p99 |", &rows.collect::<Vec<_>>())
}

fn draw_hung(area: &Area<'_>, figures: &Figures) -> Result<()> {
    let rows = Kind::ALL.into_iter().flat_map(|kind| {
        [1, 0].map(|away| Row::new(figures, Case::new(Part::Hung, NODES, away), kind, away == 0))
    });
    let title = "Acquire with one node hung: p50 ● to p99 |";
    draw_rows(area, title, &rows.flatten().collect::<Vec<_>>())
}

fn draw_rows(area: &Area<'_>, title: &str, rows: &[Row]) -> Result<()> {
    let ends: Vec<_> = rows.iter().flat_map(|row| [row.p50, row.p99]).collect();
    let Some(last) = rows.len().checked_sub(1) else { return Ok(()) };
    let (from, to) = (least(&ends) / 1.5, most(&ends) * 1.5);
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 17))
        .margin(12)
        .x_label_area_size(30)
        .y_label_area_size(190)
        .build_cartesian_2d(
            (from..to).log_scale().with_key_points(round_figures(from, to)),
            (0..last).into_segmented(),
        )?;
    // The first on top.
    let name = |place: &SegmentValue<usize>| match place {
        SegmentValue::CenterOf(place) => rows[last - place].label.clone(),
        _ => String::new(),
    };
    chart
        .configure_mesh()
        .disable_y_mesh()
        .bold_line_style(RGBColor(215, 215, 215))
        .label_style(("sans-serif", 13))
        .x_labels(MOST_LABELS)
        .x_label_formatter(&time)
        .y_labels(MOST_LABELS)
        .y_label_formatter(&name)
        .draw()?;
    for (place, row) in rows.iter().rev().enumerate() {
        let at = |x| (x, SegmentValue::CenterOf(place));
        let line = row.color.stroke_width(3);
        chart.draw_series([PathElement::new(vec![at(row.p50), at(row.p99)], line)])?;
        chart.draw_series([Circle::new(at(row.p50), 5, row.color.filled())])?;
        let tick = PathElement::new(vec![(0, -6), (0, 6)], line);
        chart.draw_series([EmptyElement::at(at(row.p99)) + tick])?;
    }
    Ok(())
}

/// One contender's values, by tasks.
type Line = (Kind, Vec<(f64, f64)>);

fn by_tasks(plan: &Plan, figures: &Figures, name: &str) -> Vec<Line> {
    let line = |kind| {
        let points = plan.tasks.iter().filter_map(|tasks| {
            let case = Case::new(Part::Tasks, NODES, *tasks);
            Some((*tasks as f64, figures.median(case, kind, name)?))
        });
        (kind, points.collect::<Vec<_>>())
    };
    Kind::ALL.into_iter().map(line).filter(|(_, points)| !points.is_empty()).collect()
}

fn draw_by_tasks(area: &Area<'_>, title: &str, lines: &[Line]) -> Result<()> {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let values: Vec<_> = points().map(|point| point.1).collect();
    let mut tasks: Vec<_> = points().map(|point| point.0).collect();
    tasks.sort_unstable_by(f64::total_cmp);
    tasks.dedup();
    let (Some(first), Some(last)) = (tasks.first(), tasks.last()) else { return Ok(()) };
    let x = (first / 1.25..last * 1.25).log_scale().with_key_points(tasks);
    let (from, to) = (least(&values) / 1.3, most(&values) * 1.3);
    let y = (from..to).log_scale().with_key_points(round_figures(from, to));
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 17))
        .margin(12)
        .x_label_area_size(30)
        .y_label_area_size(64)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .bold_line_style(RGBColor(215, 215, 215))
        .label_style(("sans-serif", 13))
        .disable_x_mesh()
        .x_labels(MOST_LABELS)
        .y_labels(MOST_LABELS)
        .x_label_formatter(&|tasks| format!("{tasks:.0}"))
        .y_label_formatter(&|value| format!("{value:.0}"))
        .draw()?;
    for (kind, points) in lines {
        let color = color(*kind);
        chart.draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?;
        let dots = points.iter().map(|point| Circle::new(*point, 4, color.filled()));
        chart.draw_series(dots)?;
    }
    Ok(())
}

/// Where a logarithmic axis has its lines: at 1, 2 and 5 of each decade, or where
/// there are many, at 1.
fn round_figures(from: f64, to: f64) -> Vec<f64> {
    let steps: &[f64] = if to / from > 1e3 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let decades = from.log10().floor() as i32..=to.log10().ceil() as i32;
    let lines = decades.flat_map(|decade| steps.iter().map(move |line| line * 10f64.powi(decade)));
    lines.filter(|line| (from..=to).contains(line)).collect()
}

fn draw_legend(area: &Area<'_>) -> Result<()> {
    let middle = Pos::new(HPos::Left, VPos::Center);
    for (place, kind) in Kind::ALL.into_iter().enumerate() {
        let x = 40 + 190 * place as i32;
        let color = color(kind);
        let line = PathElement::new(vec![(x, 14), (x + 26, 14)], color.stroke_width(3));
        area.draw(&line)?;
        area.draw(&Circle::new((x + 13, 14), 4, color.filled()))?;
        let style = ("sans-serif", 13).into_font().color(&BLACK).pos(middle);
        area.draw_text(kind.name(), &style, (x + 32, 14))?;
    }
    Ok(())
}

/// Microseconds, in what is read most easily.
fn time(value: &f64) -> String {
    match *value {
        value if value < 1e3 => format!("{value:.0} µs"),
        value if value < 1e6 => format!("{:.0} ms", value / 1e3),
        value => format!("{:.0} s", value / 1e6),
    }
}
