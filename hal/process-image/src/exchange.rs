//! How an image crosses between two threads: a triple buffer, one writer, one reader.
//!
//! Both sides are wait-free. The reader always gets the newest value that was published whole. The
//! buffer itself is the `triple_buffer` crate; these two types keep its vocabulary out of the rest.

use triple_buffer::triple_buffer;

/// The writing side.
#[derive(Debug)]
pub struct Publisher<T: Send>(triple_buffer::Input<T>);

/// The reading side.
#[derive(Debug)]
pub struct Subscriber<T: Send>(triple_buffer::Output<T>);

/// A pair of ends; the reader sees `initial` until the first publication. Allocates: set-up only.
pub fn exchange<T: Clone + Send>(initial: &T) -> (Publisher<T>, Subscriber<T>) {
    let (input, output) = triple_buffer(initial);
    (Publisher(input), Subscriber(output))
}

impl<T: Copy + Send> Publisher<T> {
    /// Makes `value` the newest. Wait-free; allocates nothing.
    pub fn publish(&mut self, value: &T) {
        *self.0.input_buffer_mut() = *value;
        self.0.publish();
    }
}

impl<T: Send> Publisher<T> {
    /// Lets `fill` write the newest value in place, over the remains of an older one. Wait-free.
    pub fn publish_with(&mut self, fill: impl FnOnce(&mut T)) {
        fill(self.0.input_buffer_mut());
        self.0.publish();
    }
}

impl<T: Send> Subscriber<T> {
    /// The newest value, if it has not been seen yet. Wait-free; allocates nothing.
    pub fn updated(&mut self) -> Option<&T> {
        if self.0.update() { Some(self.0.output_buffer_mut()) } else { None }
    }

    /// The newest value. Wait-free; allocates nothing.
    pub fn latest(&mut self) -> &T {
        self.0.read()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn a_reader_never_sees_a_torn_or_older_value() {
        const LAST: u64 = 200_000;
        let (mut publisher, mut subscriber) = exchange(&[0_u64; 64]);
        let writer = std::thread::spawn(move || {
            for round in 1..=LAST {
                publisher.publish(&[round; 64]);
            }
        });
        let mut newest = 0;
        while newest < LAST {
            let words = *subscriber.latest();
            assert!(words.iter().all(|word| *word == words[0]), "torn: {words:?}");
            assert!(words[0] >= newest, "older than before");
            newest = words[0];
        }
        writer.join().unwrap();
    }
}
