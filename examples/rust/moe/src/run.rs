//! A whole training in a folder.
use crate::call::{advance, c_path, create};
use crate::callback::{Level, Log};
use crate::config::Config;
use crate::error::{Result, from_chars};
use crate::session::Session;
use crate::stop::{Gate, Stopper, Target};
use moe_sys as sys;
use std::marker::PhantomData;
use std::ops::Deref;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::Arc;

/// A training in a folder: settings, log, metrics, checkpoints. It is an iterator over its events, and works inside
/// `next()`. Killed at any moment and opened again, it goes on from its last checkpoint and ends with the same bits.
///
/// After an error the iterator may be asked again; [`Status::Cancelled`](crate::Status::Cancelled) says that a
/// [`Stopper`] was used and a checkpoint of the last whole step is written.
pub struct Run {
    raw: NonNull<sys::moe_run>,
    gate: Arc<Gate>,
    _log: Option<Log>, // the library calls it as long as the handle lives
}

// SAFETY: a handle may be used by any thread, one at a time; its log closure is Send.
unsafe impl Send for Run {}

/// What to do about a run that the folder holds or lacks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum RunMode {
    /// New when the folder holds no run, else resume.
    #[default]
    Auto,
    /// The folder must not hold a run.
    New,
    /// The folder must hold a run.
    Resume,
}

/// How a run is opened.
#[derive(Default)]
pub struct RunOptions {
    mode: RunMode,
    log: Option<Log>,
}

/// Kind of an [`Event`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// An optimizer step worth a line (every `train.log_every`).
    Step,
    /// An epoch is over.
    Epoch,
    /// An evaluation is over; `metric` is its first number.
    Eval,
    /// A checkpoint was written.
    Checkpoint,
    /// The training is complete.
    Done,
    /// A kind that this crate does not know.
    Other(i32),
}

/// What happened in a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its kind.
    pub kind: EventKind,
    /// From 1.
    pub epoch: i64,
    /// Planned.
    pub epochs: i64,
    /// Optimizer steps so far.
    pub step: i64,
    /// Planned in all.
    pub steps: i64,
    /// Of the last step.
    pub loss: f64,
    /// Eval: the first number; Done: the best one; else NaN.
    pub metric: f64,
    /// Speed.
    pub images_per_second: f64,
    /// Waiting for data, mean per step since the last Step event.
    pub load_seconds: f64,
    /// Computing, mean per step since the last Step event.
    pub step_seconds: f64,
    /// Estimate for the whole run.
    pub seconds_left: f64,
    /// One line for a person.
    pub text: String,
}

impl RunOptions {
    /// New or resumed, log into the run folder only.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says whether the folder must, may or must not hold a run.
    pub fn mode(mut self, mode: RunMode) -> Self {
        self.mode = mode;
        self
    }

    /// Receives warnings and notes as well.
    pub fn log(mut self, log: impl FnMut(Level, &str) + Send + 'static) -> Self {
        self.log = Some(Log::new(log));
        self
    }

    /// Makes or resumes the run in this folder. From its first checkpoint on the settings must be those it was made with,
    /// except for keys that do not change the result so far.
    pub fn open(self, config: &Config, folder: impl AsRef<Path>) -> Result<Run> {
        self.open_by(config.raw(), folder.as_ref())
    }

    /// Resumes the run in this folder with its own settings.
    pub fn resume(self, folder: impl AsRef<Path>) -> Result<Run> {
        self.mode(RunMode::Resume).open_by(ptr::null(), folder.as_ref())
    }

    fn open_by(self, config: *const sys::moe_config, folder: &Path) -> Result<Run> {
        let folder = c_path(folder)?;
        let (log_fn, log_user) = Log::to_c(self.log.as_ref());
        let mode = match self.mode {
            RunMode::Auto => sys::MOE_RUN_AUTO,
            RunMode::New => sys::MOE_RUN_NEW,
            RunMode::Resume => sys::MOE_RUN_RESUME,
        };
        let options = sys::moe_run_options { mode, log_fn, log_user, ..sys::moe_run_options::sized() };
        create(
            // SAFETY: config is alive or NULL, folder and options are alive; `out` receives a handle that Run owns.
            |out| unsafe { sys::moe_run_open(config, folder.as_ptr(), &options, out) },
            |raw| Run { raw, gate: Gate::new(Target::Run(raw.as_ptr())), _log: self.log },
        )
    }
}

impl Run {
    /// A new run in this folder, or the one that is there.
    pub fn open(config: &Config, folder: impl AsRef<Path>) -> Result<Self> {
        RunOptions::new().open(config, folder)
    }

    /// Resumes the run in this folder with its own settings.
    pub fn resume(folder: impl AsRef<Path>) -> Result<Self> {
        RunOptions::new().resume(folder)
    }

    /// Works to the end and shows every event to `progress`. A panic there unwinds as usual; the run stays usable.
    pub fn train(&mut self, mut progress: impl FnMut(&Event)) -> Result<()> {
        self.try_for_each(|event| event.map(|event| progress(&event)))
    }

    /// The run's session, for statistics and predictions between two events.
    pub fn session(&self) -> Result<RunSession<'_>> {
        let own = |raw| RunSession { session: Session::own(raw, None), run: PhantomData };
        // SAFETY: the handle is alive; `out` receives a session that lives as long as the run.
        create(|out| unsafe { sys::moe_run_session(self.raw.as_ptr(), out) }, own)
    }

    /// Changes a value of the run's session, such as a learning rate; see [`Session::set`].
    pub fn set(&mut self, key: &str, value: impl ToString) -> Result<()> {
        self.session()?.session.set(key, value)
    }

    /// Stops the run from elsewhere: it finishes the step at hand, writes a checkpoint and gives
    /// [`Status::Cancelled`](crate::Status::Cancelled).
    pub fn stopper(&self) -> Stopper {
        Stopper(self.gate.clone())
    }
}

impl Iterator for Run {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut event = sys::moe_run_event::sized();
        // SAFETY: the handle is alive; `event` is a struct of the size that it says.
        match advance(|| unsafe { sys::moe_run_next(self.raw.as_ptr(), &mut event) }) {
            Ok(true) => Some(Ok(run_event(&event))),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.gate.close();
        // SAFETY: the handle is ours and not used after this.
        unsafe { sys::moe_run_close(self.raw.as_ptr()) }
    }
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Run").field(&self.raw).finish()
    }
}

/// The session of a [`Run`], which it cannot outlive. It can be asked, not trained.
#[derive(Debug)]
pub struct RunSession<'run> {
    session: Session, // freeing the session of a run does nothing
    run: PhantomData<&'run Run>,
}

impl Deref for RunSession<'_> {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

fn run_event(event: &sys::moe_run_event) -> Event {
    Event {
        kind: match event.kind {
            sys::MOE_EVENT_STEP => EventKind::Step,
            sys::MOE_EVENT_EPOCH => EventKind::Epoch,
            sys::MOE_EVENT_EVAL => EventKind::Eval,
            sys::MOE_EVENT_CHECKPOINT => EventKind::Checkpoint,
            sys::MOE_EVENT_DONE => EventKind::Done,
            other => EventKind::Other(other),
        },
        epoch: event.epoch,
        epochs: event.epochs,
        step: event.step,
        steps: event.steps,
        loss: event.loss,
        metric: event.metric,
        images_per_second: event.images_per_second,
        load_seconds: event.load_seconds,
        step_seconds: event.step_seconds,
        seconds_left: event.seconds_left,
        text: from_chars(&event.text),
    }
}
