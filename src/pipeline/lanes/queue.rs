//! A queue whose first entry stands in it, and not behind a pointer.
//!
//! Most lanes have one record at a time, and so has most of what a worker takes of handlers that wait. With ten thousand of them each memory
//! that is looked at is one that the processor's caches have lost meanwhile; so there is one less to look at, and none to allocate.

use std::collections::{VecDeque, vec_deque};
use std::iter::Chain;
use std::option;

/// See the module.
#[derive(Debug)]
pub(in crate::pipeline) struct Queue<T> {
    /// The first one; `None` where there is none, or all stand behind it.
    first: Option<T>,
    #[expect(clippy::box_collection, reason = "most have none: so it is a pointer, and not four words")]
    rest: Option<Box<VecDeque<T>>>,
}

impl<T> Queue<T> {
    pub(in crate::pipeline) const fn new() -> Self {
        Self { first: None, rest: None }
    }

    pub(in crate::pipeline) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.as_ref().map_or(0, |rest| rest.len())
    }

    pub(in crate::pipeline) fn is_empty(&self) -> bool {
        self.first.is_none() && self.rest.as_ref().is_none_or(|rest| rest.is_empty())
    }

    pub(in crate::pipeline) fn front(&self) -> Option<&T> {
        self.first.as_ref().or_else(|| self.rest.as_ref()?.front())
    }

    pub(in crate::pipeline) fn front_mut(&mut self) -> Option<&mut T> {
        self.first.as_mut().or_else(|| self.rest.as_mut()?.front_mut())
    }

    pub(in crate::pipeline) fn push_back(&mut self, one: T) {
        if self.is_empty() {
            self.first = Some(one);
        } else {
            self.rest.get_or_insert_default().push_back(one);
        }
    }

    pub(in crate::pipeline) fn push_front(&mut self, one: T) {
        if let Some(first) = self.first.replace(one) {
            self.rest.get_or_insert_default().push_front(first);
        }
    }

    pub(in crate::pipeline) fn pop_front(&mut self) -> Option<T> {
        self.first.take().or_else(|| self.rest.as_mut()?.pop_front())
    }

    pub(in crate::pipeline) fn pop_back(&mut self) -> Option<T> {
        self.rest.as_mut().and_then(|rest| rest.pop_back()).or_else(|| self.first.take())
    }

    pub(in crate::pipeline) fn iter(&self) -> Iter<'_, T> {
        self.first.iter().chain(self.rest.as_ref().map(|rest| rest.iter()).unwrap_or_default())
    }

    pub(in crate::pipeline) fn iter_mut(&mut self) -> IterMut<'_, T> {
        self.first.iter_mut().chain(self.rest.as_mut().map(|rest| rest.iter_mut()).unwrap_or_default())
    }

    /// Takes out the first `count` of them, or all where there are fewer.
    pub(in crate::pipeline) fn drain(&mut self, count: usize) -> Drain<'_, T> {
        let first = if count > 0 { self.first.take() } else { None };
        let behind = count - usize::from(first.is_some());
        Drain { first, rest: self.rest.as_mut().map(|rest| rest.drain(..behind.min(rest.len()))) }
    }

    /// Takes out all of them.
    pub(in crate::pipeline) fn drain_all(&mut self) -> Drain<'_, T> {
        self.drain(self.len())
    }

    /// Keeps memory for so many at most, or for those that are there.
    pub(in crate::pipeline) fn shrink_to(&mut self, most: usize) {
        if let Some(rest) = &mut self.rest {
            rest.shrink_to(most);
        }
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The entries of a queue, in their order.
pub(in crate::pipeline) type Iter<'a, T> = Chain<option::Iter<'a, T>, vec_deque::Iter<'a, T>>;

/// The same, to be changed.
pub(in crate::pipeline) type IterMut<'a, T> = Chain<option::IterMut<'a, T>, vec_deque::IterMut<'a, T>>;

impl<'a, T> IntoIterator for &'a Queue<T> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> Extend<T> for Queue<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, more: I) {
        more.into_iter().for_each(|one| self.push_back(one));
    }
}

impl<T> FromIterator<T> for Queue<T> {
    fn from_iter<I: IntoIterator<Item = T>>(all: I) -> Self {
        let mut queue = Self::new();
        queue.extend(all);
        queue
    }
}

/// What is taken out of a queue; what is left of it when this is dropped goes with it.
#[derive(Debug)]
pub(in crate::pipeline) struct Drain<'a, T> {
    first: Option<T>,
    rest: Option<vec_deque::Drain<'a, T>>,
}

impl<T> Iterator for Drain<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.first.take().or_else(|| self.rest.as_mut()?.next())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::from(self.first.is_some()) + self.rest.as_ref().map_or(0, |rest| rest.len());
        (left, Some(left))
    }
}

impl<T> DoubleEndedIterator for Drain<'_, T> {
    fn next_back(&mut self) -> Option<T> {
        self.rest.as_mut().and_then(|rest| rest.next_back()).or_else(|| self.first.take())
    }
}

impl<T> ExactSizeIterator for Drain<'_, T> {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        PushBack,
        PushFront,
        Pop,
        PopBack,
        /// So many, some of them from behind.
        Drain(usize, usize),
        Shrink,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => Just(Step::PushBack),
            2 => Just(Step::PushFront),
            4 => Just(Step::Pop),
            1 => Just(Step::PopBack),
            1 => (0_usize..6, 0_usize..6).prop_map(|(count, behind)| Step::Drain(count, behind)),
            1 => Just(Step::Shrink),
        ];
        prop::collection::vec(step, 0..60)
    }

    proptest! {
        #![proptest_config(crate::pipeline::properties())]

        #[test]
        fn it_is_a_queue(steps in steps()) {
            let (mut queue, mut model) = (Queue::new(), VecDeque::new());
            for (n, step) in steps.into_iter().enumerate() {
                match step {
                    Step::PushBack => {
                        queue.push_back(n);
                        model.push_back(n);
                    }
                    Step::PushFront => {
                        queue.push_front(n);
                        model.push_front(n);
                    }
                    Step::Pop => prop_assert_eq!(queue.pop_front(), model.pop_front()),
                    Step::PopBack => prop_assert_eq!(queue.pop_back(), model.pop_back()),
                    Step::Drain(count, behind) => {
                        let mut out = queue.drain(count);
                        let mut expected = model.drain(..count.min(model.len()));
                        for _ in 0..behind {
                            prop_assert_eq!(out.len(), expected.len());
                            prop_assert_eq!(out.next_back(), expected.next_back());
                        }
                        prop_assert_eq!(out.next(), expected.next());
                    }
                    Step::Shrink => queue.shrink_to(2),
                }
                prop_assert_eq!((queue.len(), queue.is_empty()), (model.len(), model.is_empty()));
                prop_assert_eq!(queue.front(), model.front());
                prop_assert_eq!(queue.front_mut().copied(), model.front().copied());
                prop_assert!(queue.iter().eq(&model) && queue.iter_mut().rev().eq(model.iter().rev()));
            }
            prop_assert!(queue.drain_all().eq(model));
            prop_assert!(queue.is_empty());
        }
    }

    #[test]
    fn one_entry_allocates_nothing() {
        let mut queue = Queue::new();
        for n in 0..3 {
            queue.push_back(n);
            assert_eq!(queue.pop_front(), Some(n));
        }
        queue.push_front(3);
        assert_eq!((queue.rest.is_none(), queue.drain(1).next()), (true, Some(3)));
    }

    #[test]
    fn what_is_shrunk_keeps_memory_for_as_many_as_it_may() {
        let mut queue: Queue<usize> = (0..1_000).collect();
        drop(queue.drain_all());
        queue.shrink_to(4);
        let kept = queue.rest.as_ref().map(|rest| rest.capacity());
        assert!(kept.is_some_and(|kept| (4..100).contains(&kept)), "{kept:?}");
    }
}
