//! Streams: the live pages that are open, so that nobody has all the connections, however many addresses they come from.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use futures_util::StreamExt;
use parking_lot::Mutex;

/// So many at once are somebody's.
const MOST: usize = 16;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams(Arc<Mutex<HashMap<String, usize>>>);

/// One that is open, until this is dropped.
#[derive(Debug)]
pub(super) struct Open {
    streams: Streams,
    who: String,
}

impl Streams {
    /// One more of somebody's; `None` where they have as many as they may.
    pub(super) fn open(&self, who: String) -> Option<Open> {
        let mut all = self.0.lock();
        let theirs = all.entry(who.clone()).or_default();
        if *theirs >= MOST {
            return None;
        }
        *theirs += 1;
        Some(Open { streams: self.clone(), who })
    }
}

impl Open {
    /// For as long as the answer is being sent.
    pub(super) fn along(self, response: Response) -> Response {
        response.map(|body| {
            Body::from_stream(body.into_data_stream().map(move |part| {
                let Self { .. } = &self;
                part
            }))
        })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut all = self.streams.0.lock();
        if let Some(theirs) = all.get_mut(&self.who) {
            *theirs -= 1;
            if *theirs == 0 {
                all.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_as_many_as_they_may_waits_for_one_to_end_and_nobody_else_does() {
        let streams = Streams::default();
        let mut open: Vec<_> = (0..MOST).map(|_| streams.open("ada".to_owned()).expect("there is room")).collect();
        assert!(streams.open("ada".to_owned()).is_none());
        assert!(streams.open("bob".to_owned()).is_some());
        drop(open.pop());
        assert!(streams.open("ada".to_owned()).is_some());
        drop(open);
        assert!(streams.0.lock().is_empty(), "nobody is remembered");
    }
}
