//! Turns of subject and peers.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::figures::{Figures, Ratio, Times};

/// What takes turns: it measures for one turn, or says why it cannot.
pub trait Contender {
    /// Its name, in tables and files.
    fn name(&self) -> &str;

    /// One turn.
    ///
    /// # Errors
    /// In words, why it cannot be measured.
    fn turn(&mut self) -> Result<Times, String>;
}

/// All turns of one contender.
#[derive(Debug, Clone, Default)]
pub struct Turns {
    /// Name.
    pub name: String,
    /// One for each round.
    pub rounds: Vec<Times>,
    /// Why there are none, or no more.
    pub absent: Option<String>,
}

/// A comparison: the first contender is the subject.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// What is measured, for people.
    pub title: String,
    /// Under which load.
    pub load: String,
    /// The subject, then its peers.
    pub contenders: Vec<Turns>,
    /// Stalls of the host longer than a millisecond; none if they could not be seen.
    pub host_stalls_over_1ms: Option<u64>,
}

/// A comparison in figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// The subject's name.
    pub subject: String,
    /// Its figures.
    #[serde(flatten)]
    pub figures: Figures,
    /// Each peer's, by name.
    pub peers: BTreeMap<String, Peer>,
    /// Under which load.
    pub load: String,
    /// Rounds that the subject took part in.
    pub rounds: usize,
    /// Stalls of the host longer than a millisecond; none if they could not be seen.
    pub host_stalls_over_1ms: Option<u64>,
}

/// A peer in figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Peer {
    /// Its figures.
    #[serde(flatten)]
    pub figures: Figures,
    /// Subject over peer, round by round.
    pub ratio_p50: Option<Ratio>,
    /// The same of the 99th percentile.
    pub ratio_p99: Option<Ratio>,
    /// Why there are no figures, or no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub absent: Option<String>,
}

/// Lets contenders take turns, in one order and then in the other; `told` hears of each turn before it begins.
pub fn run(
    contenders: &mut [Box<dyn Contender>],
    rounds: u32,
    mut told: impl FnMut(u32, &str),
) -> Vec<Turns> {
    let mut turns: Vec<Turns> = contenders
        .iter()
        .map(|contender| Turns { name: contender.name().to_owned(), ..Turns::default() })
        .collect();
    for round in 0..rounds {
        let mut order: Vec<usize> = (0..contenders.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order {
            let (Some(contender), Some(turn)) = (contenders.get_mut(at), turns.get_mut(at)) else { continue };
            if turn.absent.is_some() {
                continue;
            }
            told(round + 1, contender.name());
            match contender.turn() {
                Ok(times) => turn.rounds.push(times),
                Err(why) => turn.absent = Some(why),
            }
        }
    }
    turns
}

impl Turns {
    /// All rounds together.
    #[must_use]
    pub fn all(&self) -> Times {
        let mut all = Times::new();
        self.rounds.iter().for_each(|round| all.add_all(round));
        all
    }
}

impl Comparison {
    /// The comparison in figures; none without a subject.
    #[must_use]
    pub fn compared(&self) -> Option<Compared> {
        let (subject, peers) = self.contenders.split_first()?;
        let peer = |peer: &Turns| {
            let ratio = |share: f64| {
                let both = subject.rounds.iter().zip(&peer.rounds);
                Ratio::of(
                    both.map(|(ours, theirs)| ours.quantile_us(share) / theirs.quantile_us(share)).collect(),
                )
            };
            let figures = peer.all().figures();
            Peer { figures, ratio_p50: ratio(0.5), ratio_p99: ratio(0.99), absent: peer.absent.clone() }
        };
        Some(Compared {
            subject: subject.name.clone(),
            figures: subject.all().figures(),
            peers: peers.iter().map(|turns| (turns.name.clone(), peer(turns))).collect(),
            load: self.load.clone(),
            rounds: subject.rounds.len(),
            host_stalls_over_1ms: self.host_stalls_over_1ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal_units::Duration;
    use std::cell::RefCell;
    use std::rc::Rc;

    struct Fixed(&'static str, u64, Rc<RefCell<Vec<&'static str>>>);

    impl Contender for Fixed {
        fn name(&self) -> &str {
            self.0
        }

        fn turn(&mut self) -> Result<Times, String> {
            self.2.borrow_mut().push(self.0);
            if self.1 == 0 {
                return Err("it is not installed".to_owned());
            }
            let mut times = Times::new();
            times.add(Duration::from_micros(self.1));
            Ok(times)
        }
    }

    fn compare(micros: [u64; 2], rounds: u32) -> (Comparison, Vec<&'static str>) {
        let order = Rc::new(RefCell::new(Vec::new()));
        let [ours, theirs] = micros;
        let mut contenders: Vec<Box<dyn Contender>> = vec![
            Box::new(Fixed("ours", ours, Rc::clone(&order))),
            Box::new(Fixed("theirs", theirs, Rc::clone(&order))),
        ];
        let contenders = run(&mut contenders, rounds, |_, _| {});
        let order = order.borrow().clone();
        let (title, load) = ("test".to_owned(), "idle".to_owned());
        (Comparison { title, load, contenders, host_stalls_over_1ms: Some(0) }, order)
    }

    #[test]
    fn turns_are_taken_in_one_order_and_then_in_the_other() {
        assert_eq!(compare([1, 1], 2).1, ["ours", "theirs", "theirs", "ours"]);
    }

    #[test]
    fn the_subject_is_compared_round_by_round() {
        let compared = compare([30, 60], 3).0.compared().unwrap();
        let ratio = compared.peers["theirs"].ratio_p50.unwrap();
        assert!((ratio.median - 0.5).abs() < 0.01, "{ratio:?}");
    }

    #[test]
    fn a_peer_that_is_not_there_is_named_with_the_reason() {
        let (comparison, order) = compare([30, 0], 3);
        let compared = comparison.compared().unwrap();
        assert_eq!(compared.peers["theirs"].absent.as_deref(), Some("it is not installed"));
        assert_eq!(order.iter().filter(|name| **name == "theirs").count(), 1, "it is asked once");
    }

    #[test]
    fn the_file_holds_what_is_promised() {
        let json = serde_json::to_value(compare([30, 60], 2).0.compared().unwrap()).unwrap();
        for field in ["subject", "p50_us", "p99_us", "p999_us", "max_us", "samples", "host_stalls_over_1ms"] {
            assert!(!json[field].is_null(), "{field}");
        }
        let peer = &json["peers"]["theirs"];
        for field in ["p50_us", "p99_us", "p999_us", "max_us", "samples", "ratio_p50", "ratio_p99"] {
            assert!(!peer[field].is_null(), "{field}");
        }
        assert!(peer["ratio_p50"]["median"].is_number());
    }
}
