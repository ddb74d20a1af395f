//! Where to strike: each address that a boot executes, at its first and at its last execution.

use std::collections::HashMap;

/// One execution of one instruction, and how to get to it with few stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Point {
    /// The instruction.
    pub(super) address: u32,
    /// First the core runs until it has been at this address so often, if anything is said here.
    pub(super) marker: Option<(u32, u32)>,
    /// Then until it has been at `address` so often.
    pub(super) hits: u32,
    /// Whether it is the first execution of it.
    pub(super) first: bool,
}

impl Point {
    /// Which execution it is, for people.
    pub(super) fn pass(&self) -> &'static str {
        match self.first {
            true => "at its first execution",
            false => "at its last execution",
        }
    }

    fn stops(&self) -> u32 {
        self.marker.map_or(0, |(_, hits)| hits) + self.hits
    }
}

/// The points of a trace, in order of their addresses: a first execution and, if there are more, the last one.
pub(super) fn points(trace: &[u32]) -> Vec<Point> {
    let mut positions: HashMap<u32, Vec<u32>> = HashMap::new();
    for (position, address) in (0_u32..).zip(trace) {
        positions.entry(*address).or_default().push(position);
    }
    // Places that are passed seldom, in order: from one of them it is not far to what comes often.
    let mut rare: Vec<(u32, u32, u32)> = positions
        .iter()
        .filter(|(_, at)| at.len() <= RARE)
        .flat_map(|(address, at)| (1_u32..).zip(at).map(|(hit, at)| (*at, *address, hit)))
        .collect();
    rare.sort_unstable();
    let mut points: Vec<Point> = positions
        .iter()
        .flat_map(|(&address, at)| {
            let first = Point {
                address,
                marker: None,
                hits: 1,
                first: true,
            };
            let last = (at.len() > 1).then(|| last(address, at, &rare));
            [Some(first), last].into_iter().flatten()
        })
        .collect();
    points.sort_unstable_by_key(|point| (point.address, !point.first));
    points
}

/// The cheapest way to the last execution.
fn last(address: u32, at: &[u32], rare: &[(u32, u32, u32)]) -> Point {
    let direct = Point {
        address,
        marker: None,
        hits: at.len() as u32,
        first: false,
    };
    let end = at.last().copied().unwrap_or_default();
    let before = rare.partition_point(|(position, ..)| *position < end);
    rare.iter()
        .take(before)
        .rev()
        .take(LOOK_BACK)
        .filter(|(_, marker, _)| *marker != address)
        .map(|(position, marker, hit)| {
            let passed = at.partition_point(|at| at <= position);
            Point {
                address,
                marker: Some((*marker, *hit)),
                hits: (at.len() - passed) as u32,
                first: false,
            }
        })
        .chain([direct])
        .min_by_key(Point::stops)
        .unwrap_or(direct)
}

/// How often a place is passed at most to be a marker.
const RARE: usize = 64;
/// Markers considered for a point.
const LOOK_BACK: usize = 4000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a trace as the debugger would, and says at which position a point is.
    fn reach(trace: &[u32], point: &Point) -> usize {
        let mut from = 0;
        for (address, hits) in point
            .marker
            .into_iter()
            .chain([(point.address, point.hits)])
        {
            for _ in 0..hits {
                let found = trace[from..].iter().position(|at| *at == address);
                from += found.unwrap() + 1;
            }
        }
        from - 1
    }

    #[test]
    fn finds_first_and_last_executions_with_few_stops() {
        // A loop of 1,000 rounds, twice, between code that runs once, and once more a round at the end.
        let round: Vec<u32> = (0..1000).flat_map(|_| [10, 12, 14]).collect();
        let trace = [&[2, 4], round.as_slice(), &[6], &round, &[8, 10, 12, 16]].concat();
        let points = points(&trace);
        for address in [2, 4, 6, 8, 10, 12, 14, 16] {
            let of: Vec<&Point> = points.iter().filter(|p| p.address == address).collect();
            let first = trace.iter().position(|at| *at == address).unwrap();
            let last = trace.iter().rposition(|at| *at == address).unwrap();
            let reached: Vec<usize> = of.iter().map(|point| reach(&trace, point)).collect();
            if first == last {
                assert_eq!(reached, [first], "{address}");
            } else {
                assert_eq!(reached, [first, last], "{address}");
            }
        }
        let last = points
            .iter()
            .filter(|p| p.address == 12)
            .max_by_key(|p| p.stops());
        assert_eq!(last.unwrap().stops(), 2, "{last:?}");
        // What has no marker near is counted through.
        let last = points
            .iter()
            .filter(|p| p.address == 14)
            .max_by_key(|p| p.stops());
        assert_eq!(last.unwrap().stops(), 1001, "{last:?}");
    }
}
