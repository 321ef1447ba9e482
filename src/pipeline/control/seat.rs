//! The seat: where a daemon's runs tell what steers them, and its operators what they want of it. Either may come first.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{Control, Layer};

/// See the module. Cloning gives another handle of the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seat(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    control: Option<Control>,
    operators: Layer,
}

impl Seat {
    /// This steers the daemon from now on, as its operators want it already.
    pub(crate) fn take(&self, control: &Control) {
        let mut taken = self.0.lock();
        control.operate(taken.operators.clone());
        taken.control = Some(control.clone());
    }

    /// What steers it, once a run of it has told.
    #[cfg_attr(not(feature = "api"), allow(dead_code))]
    pub(crate) fn control(&self) -> Option<Control> {
        self.0.lock().control.clone()
    }

    /// All that its operators want of it from now on.
    #[cfg_attr(not(feature = "api"), allow(dead_code))]
    pub(crate) fn operate(&self, operators: &Layer) {
        let mut taken = self.0.lock();
        if taken.operators == *operators {
            return;
        }
        taken.operators = operators.clone();
        if let Some(control) = &taken.control {
            control.operate(operators.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::control::Scope;

    #[test]
    fn what_operators_want_holds_whether_it_came_before_the_run_or_after() {
        let wanted = Layer { paused: [Scope::All].into(), ..Layer::default() };
        let (early, late) = (Control::new(), Control::new());
        let seat = Seat::default();
        seat.take(&early);
        seat.operate(&wanted);
        assert_eq!(early.paused(), [Scope::All]);
        // The daemon is restarted with a control of its own.
        seat.take(&late);
        assert_eq!(late.paused(), [Scope::All]);
        seat.operate(&Layer::default());
        assert!(late.paused().is_empty());
    }

    #[test]
    fn what_the_program_wants_stays_when_the_operators_want_nothing_more() {
        let control = Control::new();
        let seat = Seat::default();
        seat.take(&control);
        control.pause(Scope::Topic("orders".into()));
        seat.operate(&Layer { paused: [Scope::All].into(), ..Layer::default() });
        assert_eq!(control.paused(), [Scope::All, Scope::Topic("orders".into())]);
        // What is not its own the program can't take back.
        control.resume(&Scope::All);
        assert_eq!(control.paused(), [Scope::All]);
        control.pause(Scope::Topic("orders".into()));
        seat.operate(&Layer::default());
        assert_eq!(control.paused(), [Scope::Topic("orders".into())]);
    }
}
