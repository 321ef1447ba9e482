//! What was rendered of pages that are live: once a page and second for all who look at it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use maud::{Markup, PreEscaped};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::api::problem::Problem;

/// For so long it is as new as what it shows, which is taken once a second.
const FRESH: Duration = Duration::from_millis(900);
/// Pages that are remembered: the filter of one makes another.
const PAGES: usize = 128;

/// See the module. What somebody may not see is another page.
#[derive(Debug, Default)]
pub(in crate::api) struct Rendered(Mutex<HashMap<String, Arc<Slot>>>);

/// One page, as it was at a time. Whoever comes while it is rendered waits for that.
#[derive(Debug, Default)]
struct Slot(Mutex<Option<(Instant, String)>>);

impl Rendered {
    /// The page as it is now, rendered where it was not a moment ago.
    pub(super) fn get(&self, page: &str, render: impl FnOnce() -> Result<Markup, Problem>) -> Result<Markup, Problem> {
        let slot = self.slot(page);
        let mut known = slot.0.lock();
        let now = Instant::now();
        if let Some((at, text)) = &*known
            && now.saturating_duration_since(*at) < FRESH
        {
            return Ok(PreEscaped(text.clone()));
        }
        let PreEscaped(text) = render()?;
        *known = Some((now, text.clone()));
        Ok(PreEscaped(text))
    }

    fn slot(&self, page: &str) -> Arc<Slot> {
        let mut slots = self.0.lock();
        if let Some(slot) = slots.get(page) {
            return Arc::clone(slot);
        }
        if slots.len() >= PAGES {
            let now = Instant::now();
            let is_fresh = |slot: &Arc<Slot>| {
                // One that is being rendered is somebody's.
                slot.0.try_lock().is_none_or(|known| {
                    known.as_ref().is_some_and(|(at, _)| now.saturating_duration_since(*at) < FRESH)
                })
            };
            slots.retain(|_, slot| is_fresh(slot));
            if slots.len() >= PAGES {
                slots.clear();
            }
        }
        let slot = Arc::new(Slot::default());
        slots.insert(page.to_owned(), Arc::clone(&slot));
        slot
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use maud::html;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_page_is_rendered_once_a_second_for_all_who_look_at_it() {
        let (rendered, times) = (Rendered::default(), Cell::new(0));
        let look = |page: &str| {
            let render = || {
                times.set(times.get() + 1);
                Ok(html! { (page) " " (times.get()) })
            };
            rendered.get(page, render).map(PreEscaped::into_string)
        };
        for _ in 0..50 {
            assert_eq!(look("a"), Ok("a 1".to_owned()));
        }
        assert_eq!(look("b"), Ok("b 2".to_owned()), "another page is another one");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!((look("a"), look("a")), (Ok("a 3".to_owned()), Ok("a 3".to_owned())));
        for page in 0..PAGES * 3 {
            look(&page.to_string()).expect("it can be shown");
        }
        assert!(rendered.0.lock().len() <= PAGES);
        let none: Result<Markup, Problem> = rendered.get("c", || Err(Problem::bad_request("x")));
        assert!(none.is_err());
        assert_eq!(rendered.get("c", || Ok(html! { "c" })).map(PreEscaped::into_string), Ok("c".to_owned()));
    }
}
