//! Costs of ways that lead dense traffic past itself: what is driven one way should not be driven the other.
//!
//! Traffic from everywhere to everywhere is laid on its cheapest ways, again and again. After each round a way
//! costs more the larger the share of its traffic is that comes from the other side, and the more traffic enters
//! the place that it leads to; what was found before counts too, smoothed exponentially, so that the costs settle. The
//! costs depend on the grid alone. That such costs help dense traffic is the finding of Zhang et al. 2024
//! (arXiv:2402.01446), who search for them with simulations. The constants here were found by trial on one grid of 32 by 32
//! cells, a fifth of them blocked, with 400 vehicles.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use control_loops_fleet::{Arc, Heading, UNIT};

/// Rounds of laying traffic on its ways.
const ROUNDS: usize = 20;
/// Most places that traffic goes to in a round: on larger grids a part of them, another one each round.
const GOALS_MAX: usize = 200;
/// How much of a round's traffic is mixed into what was found before.
const MIX: f64 = 0.3;
/// What a way costs more if all its traffic comes from the other side.
const OPPOSED: f64 = 24.0;
/// What a way costs more for as much traffic into its end as an arc has on average.
const CROWDED: f64 = 0.2;
/// Traffic that is taken to be everywhere, in parts of the average.
const LITTLE: f64 = 0.05;
const NONE: usize = usize::MAX;
const FAR: u32 = u32::MAX;

/// The arcs of a grid, with costs that lead dense traffic of vehicles that turn.
pub(crate) fn guided(nodes: usize, arcs: &[Arc]) -> Vec<Arc> {
    let mut roads = Roads::new(nodes, arcs);
    let plain = roads.cost.clone();
    let mut flow = vec![0.0; roads.next.len()];
    let every = nodes.div_ceil(GOALS_MAX).max(1);
    for round in 0..ROUNDS {
        let mut now = vec![0.0; flow.len()];
        for goal in (round % every..nodes).step_by(every) {
            roads.lay_traffic(goal, &mut now);
        }
        let average = now.iter().sum::<f64>() / now.len() as f64;
        let mix = if round == 0 { 1.0 } else { MIX };
        for (flow, now) in flow.iter_mut().zip(&now) {
            *flow += mix * (now / average - *flow);
        }
        roads.price(&plain, &flow);
    }
    let guided = |arc: &Arc| {
        let cost = roads.cost.get(state(arc.from.0 as usize, arc.heading)).copied();
        Arc { cost: cost.map_or(arc.cost, |cost| cost.clamp(1, u32::from(u8::MAX)) as u8), ..*arc }
    };
    arcs.iter().map(guided).collect()
}

fn state(node: usize, heading: Heading) -> usize {
    node * 4 + heading.index() as usize
}

/// By node and heading: where the way ahead leads to, where the one that ends here comes from, and what it costs.
struct Roads {
    next: Vec<usize>,
    before: Vec<usize>,
    cost: Vec<u32>,
}

impl Roads {
    fn new(nodes: usize, arcs: &[Arc]) -> Self {
        let (mut next, mut before) = (vec![NONE; nodes * 4], vec![NONE; nodes * 4]);
        let mut cost = vec![0; nodes * 4];
        for arc in arcs {
            let from = state(arc.from.0 as usize, arc.heading);
            let to = state(arc.to.0 as usize, arc.heading);
            if let (Some(next), Some(before)) = (next.get_mut(from), before.get_mut(to)) {
                (*next, *before) = (to, from);
            }
            if let Some(cost) = cost.get_mut(from) {
                *cost = u32::from(arc.cost);
            }
        }
        Self { next, before, cost }
    }

    fn turned(at: usize) -> [usize; 2] {
        [at / 4 * 4 + (at + 1) % 4, at / 4 * 4 + (at + 3) % 4]
    }

    /// What is to go from each state to a node, with the states from the nearest on (Dijkstra's algorithm).
    fn to_go(&self, goal: usize) -> (Vec<u32>, Vec<usize>) {
        let mut to_go = vec![FAR; self.next.len()];
        let mut order = Vec::with_capacity(to_go.len());
        let mut open: BinaryHeap<_> = (goal * 4..goal * 4 + 4).map(|at| Reverse((0, at))).collect();
        while let Some(Reverse((cost, at))) = open.pop() {
            match to_go.get_mut(at) {
                Some(known) if *known == FAR => *known = cost,
                _ => continue,
            }
            order.push(at);
            for turned in Self::turned(at) {
                open.push(Reverse((cost + u32::from(UNIT), turned)));
            }
            if let Some(before) = self.before.get(at).copied().filter(|before| *before != NONE) {
                open.push(Reverse((cost + self.cost.get(before).copied().unwrap_or(FAR - cost), before)));
            }
        }
        (to_go, order)
    }

    /// One vehicle from each state drives to a node: how many take each way is added.
    fn lay_traffic(&self, goal: usize, flow: &mut [f64]) {
        let (to_go, order) = self.to_go(goal);
        let left = |at: usize| to_go.get(at).copied().unwrap_or(FAR);
        let mut through = vec![1.0; to_go.len()];
        for at in order.into_iter().rev().filter(|at| at / 4 != goal) {
            let turns = Self::turned(at).map(|turned| (left(turned).saturating_add(u32::from(UNIT)), turned));
            let ahead = self.next.get(at).copied().filter(|next| *next != NONE);
            let price = self.cost.get(at).copied().unwrap_or(FAR);
            let ahead = ahead.map(|next| (left(next).saturating_add(price), next));
            let Some((_, next)) = ahead.into_iter().chain(turns).min_by_key(|(cost, _)| *cost) else {
                continue;
            };
            let here = through.get(at).copied().unwrap_or(0.0);
            if let Some(there) = through.get_mut(next) {
                *there += here;
            }
            if let Some(flow) = flow.get_mut(at).filter(|_| next / 4 != at / 4) {
                *flow += here;
            }
        }
    }

    fn price(&mut self, plain: &[u32], flow: &[f64]) {
        let flow_at = |at: usize| flow.get(at).copied().unwrap_or(0.0);
        let into = |node: usize| -> f64 {
            let before = (node * 4..node * 4 + 4).filter_map(|at| self.before.get(at).copied());
            before.filter(|before| *before != NONE).map(flow_at).sum()
        };
        let price = |(at, next): (usize, &usize)| {
            let base = plain.get(at).copied().unwrap_or(0);
            if *next == NONE {
                return base;
            }
            let opposite = flow_at(next / 4 * 4 + (next + 2) % 4);
            let opposed = OPPOSED * opposite / (flow_at(at) + opposite + LITTLE);
            base + (opposed + CROWDED * into(next / 4)).round() as u32
        };
        self.cost = self.next.iter().enumerate().map(price).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::Grid;

    fn arcs() -> Vec<Arc> {
        Grid::from_rows("test.map", 1, [".....", ".@.@.", ".....", ".@.@.", "....."]).unwrap().arcs(6)
    }

    #[test]
    fn guidance_keeps_the_ways_and_makes_none_cheaper() {
        let plain = arcs();
        let guided = guided(21, &plain);
        assert_eq!(guided.len(), plain.len());
        for (guided, plain) in guided.iter().zip(&plain) {
            assert_eq!((guided.from, guided.to, guided.heading), (plain.from, plain.to, plain.heading));
            assert!(guided.cost >= plain.cost);
        }
    }

    #[test]
    fn a_way_and_its_opposite_come_to_differ_by_more_than_before() {
        let most = |arcs: &[Arc]| {
            let back =
                |arc: &Arc| arcs.iter().find(|back| (back.from, back.to) == (arc.to, arc.from)).unwrap().cost;
            arcs.iter().map(|arc| arc.cost.abs_diff(back(arc))).max()
        };
        assert!(most(&guided(21, &arcs())) > most(&arcs()));
    }
}
