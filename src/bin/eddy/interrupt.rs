//! Ctrl-C: ends the statement, not the shell.
//!
//! While a statement runs, Ctrl-C asks it to end. Without a prompt the whole run then ends with exit code 130, at
//! once when nothing is running or when Ctrl-C comes a second time, because a script has nobody to go on for.
//! At the prompt Ctrl-C is a key like any other and never comes here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// The exit code of an interrupted run: 128 and the number of the signal, as shells have it.
pub const EXIT_INTERRUPTED: u8 = 130;

/// What Ctrl-C does right now; clones share one state.
#[derive(Clone, Default)]
pub struct Interrupts(Arc<State>);

#[derive(Default)]
struct State {
    /// Cancels what is running; nothing when nothing is.
    cancel: Mutex<Option<Box<dyn Fn() + Send>>>,
    pressed: AtomicBool,
    interactive: AtomicBool,
}

impl Interrupts {
    /// Listens to Ctrl-C from here on, for the life of the process.
    pub fn listen() -> Self {
        let interrupts = Interrupts::default();
        let shared = interrupts.clone();
        // Without a handler Ctrl-C still ends the process, which is the right floor.
        let _ = ctrlc::set_handler(move || shared.press());
        interrupts
    }

    /// Whether somebody sits at a prompt: then a run never ends by Ctrl-C alone.
    pub fn set_interactive(&self, interactive: bool) {
        self.0.interactive.store(interactive, Ordering::SeqCst);
    }

    /// Something runs from here on that `cancel` can end.
    pub fn start(&self, cancel: impl Fn() + Send + 'static) {
        self.0.pressed.store(false, Ordering::SeqCst);
        *self.0.cancel.lock() = Some(Box::new(cancel));
    }

    /// It has ended.
    pub fn finish(&self) {
        *self.0.cancel.lock() = None;
    }

    /// Whether Ctrl-C came since the last start.
    pub fn pressed(&self) -> bool {
        self.0.pressed.load(Ordering::SeqCst)
    }

    fn press(&self) {
        let again = self.0.pressed.swap(true, Ordering::SeqCst);
        let cancel = self.0.cancel.lock();
        if !self.0.interactive.load(Ordering::SeqCst) && (again || cancel.is_none()) {
            std::process::exit(EXIT_INTERRUPTED.into());
        }
        if let Some(cancel) = &*cancel {
            cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_press_reaches_what_is_running() {
        let interrupts = Interrupts::default();
        interrupts.set_interactive(true);
        let cancelled = Arc::new(AtomicBool::new(false));
        let seen = cancelled.clone();
        interrupts.start(move || seen.store(true, Ordering::SeqCst));
        assert!(!interrupts.pressed());
        interrupts.press();
        interrupts.press();
        assert!(interrupts.pressed() && cancelled.load(Ordering::SeqCst));
        interrupts.finish();
        assert!(interrupts.pressed(), "known until the next start");
        interrupts.start(|| ());
        assert!(!interrupts.pressed());
    }
}
