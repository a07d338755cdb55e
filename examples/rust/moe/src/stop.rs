//! Stop requests from any thread and from signal handlers. A [`Stopper`] outlives its handle safely, without a lock: a
//! signal handler may interrupt the very thread that would hold it.
use moe_sys as sys;
use std::ffi::c_int;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::SeqCst};

#[derive(Debug)]
pub(crate) enum Target {
    Session(*mut sys::moe_session),
    Run(*mut sys::moe_run),
}

/// Stands between stoppers and a handle: the handle is freed once it is closed and nobody is inside.
#[derive(Debug)]
pub(crate) struct Gate {
    target: Target,
    closed: AtomicBool,
    inside: AtomicUsize,
}

// SAFETY: request_stop may be called by any thread while the handle lives, which the gate sees to.
unsafe impl Send for Gate {}
// SAFETY: as above.
unsafe impl Sync for Gate {}

impl Gate {
    pub(crate) fn new(target: Target) -> Arc<Self> {
        Arc::new(Self { target, closed: AtomicBool::new(false), inside: AtomicUsize::new(0) })
    }

    /// No request reaches the handle after this. A request under way takes a few instructions.
    pub(crate) fn close(&self) {
        self.closed.store(true, SeqCst);
        while self.inside.load(SeqCst) > 0 {
            std::thread::yield_now();
        }
    }

    /// False when the handle is closed.
    fn request(&self) -> bool {
        self.inside.fetch_add(1, SeqCst);
        let open = !self.closed.load(SeqCst);
        if open {
            // SAFETY: close() waits for `inside` before the handle is freed.
            unsafe {
                match self.target {
                    Target::Session(session) => sys::moe_session_request_stop(session),
                    Target::Run(run) => sys::moe_run_request_stop(run),
                };
            }
        }
        self.inside.fetch_sub(1, SeqCst);
        open
    }
}

/// Asks a session or a run to stop, from any thread. It may outlive them.
#[derive(Debug, Clone)]
pub struct Stopper(pub(crate) Arc<Gate>);

/// Where SIGINT goes. Its value is never freed: a handler may be reading it.
static INTERRUPTED: AtomicPtr<Gate> = AtomicPtr::new(ptr::null_mut());
const SIGINT: c_int = 2;
const SIG_DFL: usize = 0;

unsafe extern "C" {
    // Of the C library, which std links.
    safe fn raise(number: c_int) -> c_int;
    fn signal(number: c_int, handler: usize) -> usize;
}

impl Stopper {
    /// Asks for a stop at the next micro-batch of a session, or after the step at hand of a run; the call there returns
    /// [`Status::Cancelled`](crate::Status::Cancelled). Also for signal handlers. False when the handle is gone.
    pub fn stop(&self) -> bool {
        self.0.request()
    }

    /// Makes the next Ctrl-C of this process a stop request, and the one after it the end of the process, as usual.
    pub fn on_interrupt(&self) {
        INTERRUPTED.store(Arc::into_raw(self.0.clone()).cast_mut(), SeqCst);
        // SAFETY: the handler does what a signal handler may: atomics, signal(), raise() and request_stop.
        unsafe { signal(SIGINT, interrupt as extern "C" fn(c_int) as usize) };
    }
}

extern "C" fn interrupt(number: c_int) {
    // SAFETY: a valid handler for a valid signal.
    unsafe { signal(number, SIG_DFL) };
    // SAFETY: on_interrupt() stored a pointer that is never freed.
    if !unsafe { &*INTERRUPTED.load(SeqCst) }.request() {
        raise(number);
    }
}
