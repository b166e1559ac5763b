//! Latest values: topics of which only the newest value matters, such as a unit's state.
//!
//! They need no durability: a newer value replaces an older one that has not left yet. All of them are sent
//! again on each new connection, because the broker may have forgotten what it retained.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

/// The most topics with a latest value.
pub const LATEST_TOPICS_MAX: usize = 4096;

/// How a latest value is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// QoS 0: given to the network once.
    AtMostOnce,
    /// QoS 1: sent again with the next connection if the broker does not acknowledge it.
    AtLeastOnce,
}

/// A value to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LatestValue {
    pub(crate) topic: Arc<str>,
    pub(crate) payload: Bytes,
    pub(crate) delivery: Delivery,
}

#[derive(Debug, Default)]
pub(crate) struct Latest {
    topics: BTreeMap<Arc<str>, Topic>,
    /// Topics whose value is to be sent and none is on its way.
    due: VecDeque<Arc<str>>,
    coalesced: u64,
}

#[derive(Debug)]
struct Topic {
    payload: Bytes,
    delivery: Delivery,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// In the queue.
    Due,
    /// Sent, not acknowledged.
    OnItsWay,
    /// Sent, not acknowledged, and a newer value waits.
    Overtaken,
    /// The broker has it.
    Delivered,
}

impl Latest {
    /// False if there is no room for another topic.
    pub(crate) fn set(&mut self, topic: &str, payload: Bytes, delivery: Delivery) -> bool {
        if let Some(known) = self.topics.get_mut(topic) {
            (known.payload, known.delivery) = (payload, delivery);
            known.stage = match known.stage {
                Stage::Due | Stage::Overtaken => {
                    self.coalesced += 1;
                    known.stage
                }
                Stage::OnItsWay => Stage::Overtaken,
                Stage::Delivered => {
                    self.due.extend(self.topics.get_key_value(topic).map(|(topic, _)| Arc::clone(topic)));
                    self.mark(topic, Stage::Due);
                    return true;
                }
            };
            return true;
        }
        if self.topics.len() >= LATEST_TOPICS_MAX {
            return false;
        }
        let topic: Arc<str> = topic.into();
        self.due.push_back(Arc::clone(&topic));
        self.topics.insert(topic, Topic { payload, delivery, stage: Stage::Due });
        true
    }

    fn mark(&mut self, topic: &str, stage: Stage) {
        if let Some(topic) = self.topics.get_mut(topic) {
            topic.stage = stage;
        }
    }

    /// The next value to send; it counts as on its way.
    pub(crate) fn take_due(&mut self) -> Option<LatestValue> {
        let topic = self.due.pop_front()?;
        let known = self.topics.get_mut(&topic)?;
        known.stage = Stage::OnItsWay;
        Some(LatestValue { payload: known.payload.clone(), delivery: known.delivery, topic })
    }

    /// The broker, or for QoS 0 the network, has the value that was on its way.
    pub(crate) fn delivered(&mut self, topic: &Arc<str>) {
        if let Some(known) = self.topics.get_mut(topic) {
            known.stage = match known.stage {
                Stage::OnItsWay => Stage::Delivered,
                Stage::Overtaken => {
                    self.due.push_back(Arc::clone(topic));
                    Stage::Due
                }
                Stage::Due | Stage::Delivered => known.stage,
            };
        }
    }

    /// A new connection: everything is to be sent.
    pub(crate) fn all_due(&mut self) {
        for (topic, known) in &mut self.topics {
            if known.stage != Stage::Due {
                known.stage = Stage::Due;
                self.due.push_back(Arc::clone(topic));
            }
        }
    }

    /// Forgets all values: somebody else publishes them from now on.
    pub(crate) fn clear(&mut self) {
        self.topics.clear();
        self.due.clear();
    }

    /// Values that were replaced before they left.
    pub(crate) const fn coalesced(&self) -> u64 {
        self.coalesced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(latest: &mut Latest, topic: &str, value: &'static str) {
        assert!(latest.set(topic, Bytes::from_static(value.as_bytes()), Delivery::AtLeastOnce));
    }

    fn take(latest: &mut Latest) -> Option<(Arc<str>, String)> {
        latest.take_due().map(|value| (value.topic, String::from_utf8(value.payload.to_vec()).unwrap()))
    }

    #[test]
    fn only_the_newest_value_leaves() {
        let mut latest = Latest::default();
        set(&mut latest, "a", "1");
        set(&mut latest, "b", "1");
        set(&mut latest, "a", "2");
        assert_eq!(take(&mut latest), Some(("a".into(), "2".to_owned())));
        assert_eq!(take(&mut latest), Some(("b".into(), "1".to_owned())));
        assert_eq!(take(&mut latest), None);
        assert_eq!(latest.coalesced(), 1);
    }

    #[test]
    fn a_value_that_changes_on_its_way_leaves_after_it() {
        let mut latest = Latest::default();
        set(&mut latest, "a", "1");
        let (topic, _) = take(&mut latest).unwrap();
        set(&mut latest, "a", "2");
        assert_eq!(take(&mut latest), None, "one per topic at a time keeps the order");
        latest.delivered(&topic);
        assert_eq!(take(&mut latest), Some(("a".into(), "2".to_owned())));
        latest.delivered(&topic);
        set(&mut latest, "a", "3");
        assert_eq!(take(&mut latest), Some(("a".into(), "3".to_owned())));
    }

    #[test]
    fn a_new_connection_gets_everything_once() {
        let mut latest = Latest::default();
        set(&mut latest, "a", "1");
        set(&mut latest, "b", "1");
        let (topic, _) = take(&mut latest).unwrap();
        latest.delivered(&topic);
        latest.all_due();
        let topics: Vec<_> = std::iter::from_fn(|| take(&mut latest)).map(|(topic, _)| topic).collect();
        assert_eq!(topics, ["b".into(), "a".into()] as [Arc<str>; 2]);
    }

    #[test]
    fn topics_are_bounded() {
        let mut latest = Latest::default();
        for number in 0..LATEST_TOPICS_MAX {
            set(&mut latest, &format!("t/{number}"), "1");
        }
        assert!(!latest.set("one more", Bytes::new(), Delivery::AtMostOnce));
        set(&mut latest, "t/0", "2");
    }
}
