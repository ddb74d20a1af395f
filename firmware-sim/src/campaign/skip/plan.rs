//! Where to strike: each address that a boot executes, at its first and at its last execution.

use std::collections::HashMap;

/// One execution of one instruction, and how to get to it with few stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Point {
    /// The instruction.
    pub(super) address: u32,
    /// Where the core stops on its way: at the next execution of each of these, in turn. The last one is `address`.
    pub(super) stops: Vec<u32>,
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
}

/// The points of a trace, in order of their addresses: a first execution and, if there are more, the last one.
pub(super) fn points(trace: &[u32]) -> Vec<Point> {
    let ways = Ways::through(trace);
    let mut ends: HashMap<u32, [usize; 2]> = HashMap::new();
    for (position, address) in (1..).zip(trace) {
        let [_, last] = ends.entry(*address).or_insert([position; 2]);
        *last = position;
    }
    let mut points: Vec<Point> = ends
        .iter()
        .flat_map(|(&address, &[first, last])| {
            let at = |position, first| Point {
                address,
                stops: ways.to(trace, position),
                first,
            };
            let later = (last != first).then(|| at(last, false));
            [Some(at(first, true)), later].into_iter().flatten()
        })
        .collect();
    points.sort_unstable_by_key(|point| (point.address, !point.first));
    points
}

/// For each position of a trace, from 1, the one before it on the way there with the fewest stops; 0 is the start.
struct Ways(Vec<u32>);

impl Ways {
    /// From a stop at one position the next execution of an address is the wanted one if there is none in between:
    /// if the stop is not before the last execution before the wanted one.
    fn through(trace: &[u32]) -> Self {
        let mut before = vec![0];
        // For each number of stops the last position that takes so many.
        let mut latest: Vec<u32> = vec![0];
        let mut executed: HashMap<u32, u32> = HashMap::new();
        for (position, address) in (1_u32..).zip(trace) {
            let earlier = executed.insert(*address, position).unwrap_or(0);
            // The one before it is among them, so there is one.
            let stops = latest.iter().position(|at| *at >= earlier).unwrap_or(0);
            before.push(latest.get(stops).copied().unwrap_or(0));
            match latest.get_mut(stops + 1) {
                Some(at) => *at = position,
                None => latest.push(position),
            }
        }
        Self(before)
    }

    /// The addresses on the way to a position.
    fn to(&self, trace: &[u32], mut position: usize) -> Vec<u32> {
        let mut stops = Vec::new();
        while let Some(address) = position.checked_sub(1).and_then(|at| trace.get(at)) {
            stops.push(*address);
            position = self.0.get(position).map_or(0, |before| *before as usize);
        }
        stops.reverse();
        stops
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a trace as the debugger would, and says at which position a point is.
    fn reach(trace: &[u32], point: &Point) -> usize {
        let mut from = 0;
        for address in &point.stops {
            let found = trace[from..].iter().position(|at| at == address);
            from += found.unwrap() + 1;
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
        let stops = |address, first| {
            let mut these = points.iter();
            let point = these.find(|point| (point.address, point.first) == (address, first));
            point.unwrap().stops.as_slice()
        };
        assert_eq!(stops(14, true), [14]);
        assert_eq!(stops(12, false), [8, 12]);
        // What has no other way is counted through.
        assert_eq!(stops(14, false).len(), 1001);
    }

    /// An inner loop is reached by way of the outer one.
    #[test]
    fn loops_in_loops_take_few_stops() {
        let inner: Vec<u32> = (0..50).flat_map(|_| [20, 22]).collect();
        let trace: Vec<u32> = (0..50)
            .flat_map(|_| [&[10], inner.as_slice(), &[30]].concat())
            .collect();
        let points = points(&trace);
        let last = points
            .iter()
            .find(|point| point.address == 22 && !point.first)
            .unwrap();
        assert_eq!(reach(&trace, last), trace.len() - 2);
        assert!(last.stops.len() <= 100, "{}", last.stops.len());
    }
}
