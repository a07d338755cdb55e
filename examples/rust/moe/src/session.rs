//! The training transaction: a model, its optimizer and its statistics.
use crate::batch::Batch;
use crate::call::{array, c_path, c_text, call, create, text};
use crate::callback::{Level, Log};
use crate::config::Config;
use crate::error::{Result, from_chars};
use crate::loader::Loader;
use crate::stop::{Gate, Stopper, Target};
use moe_sys as sys;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;

/// A model in training. [`feed`](Self::feed) queues micro-batches; [`step`](Self::step) computes all of them and commits
/// weights, optimizer, schedules, averages and expert statistics together, or fails and leaves all as it was.
pub struct Session {
    raw: NonNull<sys::moe_session>,
    gate: Arc<Gate>,
    _log: Option<Log>, // the library calls it as long as the handle lives
}

// SAFETY: a handle may be used by any thread, one at a time; its log closure is Send.
unsafe impl Send for Session {}

/// How a session is made.
#[derive(Default)]
pub struct SessionOptions {
    log: Option<Log>,
}

/// What a step did.
#[derive(Debug, Clone, PartialEq)]
pub struct StepInfo {
    /// Micro-batches in the window.
    pub micro_batches: i32,
    /// Optimizer steps so far, this one included.
    pub step: i64,
    /// Samples in the window.
    pub samples: i64,
    /// Sum of the weighted terms, as if the window were one batch.
    pub loss: f64,
    /// The weighted terms by name; they add up to `loss`.
    pub losses: Vec<(String, f64)>,
    /// Global L2 norm before clipping.
    pub grad_norm: f64,
    /// Learning rate of the first parameter group.
    pub lr: f64,
    /// Wall time of the step.
    pub seconds: f64,
    /// fp16 gradients overflowed: the scale was lowered, weights are unchanged.
    pub skipped: bool,
}

/// One named number of an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// "AP", "AP50", "AP/car" ...
    pub name: String,
    /// Its value.
    pub value: f64,
}

impl SessionOptions {
    /// A silent session.
    pub fn new() -> Self {
        Self::default()
    }

    /// Receives warnings and notes.
    pub fn log(mut self, log: impl FnMut(Level, &str) + Send + 'static) -> Self {
        self.log = Some(Log::new(log));
        self
    }

    /// Builds the model of the settings.
    pub fn create(self, config: &Config) -> Result<Session> {
        // SAFETY: config and options are alive; `out` receives a handle that Session owns.
        self.open_by(|options, out| unsafe { sys::moe_session_create(config.raw(), options, out) })
    }

    /// A session from a checkpoint file, or from a run folder (its best checkpoint, else its last).
    pub fn open(self, path: impl AsRef<Path>) -> Result<Session> {
        let path = c_path(path.as_ref())?;
        // SAFETY: path and options are alive; `out` receives a handle that Session owns.
        self.open_by(|options, out| unsafe { sys::moe_session_open(path.as_ptr(), options, out) })
    }

    fn open_by(
        self,
        open: impl FnOnce(*const sys::moe_session_options, *mut *mut sys::moe_session) -> sys::moe_status,
    ) -> Result<Session> {
        let (log_fn, log_user) = Log::to_c(self.log.as_ref());
        let options = sys::moe_session_options { log_fn, log_user, ..sys::moe_session_options::sized() };
        create(|out| open(&options, out), |raw| Session::own(raw, self.log))
    }
}

impl Session {
    /// Builds the model of the settings, without a log.
    pub fn new(config: &Config) -> Result<Self> {
        SessionOptions::new().create(config)
    }

    /// A session from a checkpoint file or a run folder, without a log.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        SessionOptions::new().open(path)
    }

    pub(crate) fn own(raw: NonNull<sys::moe_session>, log: Option<Log>) -> Self {
        Self { raw, gate: Gate::new(Target::Session(raw.as_ptr())), _log: log }
    }

    /// A copy of the session's settings.
    pub fn config(&self) -> Result<Config> {
        // SAFETY: the handle is alive; `out` receives a handle that Config owns.
        create(|out| unsafe { sys::moe_session_config(self.raw(), out) }, Config::own)
    }

    /// One line per tensor that [`feed`](Self::feed) expects: name, type, shape, meaning.
    pub fn describe_batch(&self) -> Result<String> {
        // SAFETY: the handle is alive; the buffer is as large as its capacity says.
        text(|buffer, capacity, needed| unsafe {
            sys::moe_session_describe_batch(self.raw(), buffer, capacity, needed)
        })
    }

    /// Checks a micro-batch and queues it without a copy; the batch may be changed or dropped afterwards.
    pub fn feed(&mut self, batch: &Batch) -> Result<()> {
        // SAFETY: both handles are alive.
        call(|| unsafe { sys::moe_session_feed(self.raw(), batch.raw()) })
    }

    /// Trains on the queued window, then empties it. All or nothing: after an error the session is as before the window.
    pub fn step(&mut self) -> Result<StepInfo> {
        let mut info = sys::moe_step_info::sized();
        // SAFETY: the handle is alive; `info` is a struct of the size that it says.
        call(|| unsafe { sys::moe_session_step(self.raw(), &mut info) })?;
        Ok(step_info(&info))
    }

    /// Drops the queued window.
    pub fn discard(&mut self) -> Result<()> {
        // SAFETY: the handle is alive.
        call(|| unsafe { sys::moe_session_discard(self.raw()) })
    }

    /// Runs the model without training it. Detection gives `boxes [N, 4]` (xyxy in pixels of the original image),
    /// `scores [N]`, `labels [N]` and `offsets [B + 1]`. The batch needs no targets.
    pub fn predict(&self, batch: &Batch) -> Result<Batch> {
        let mut out = Batch::new()?;
        // SAFETY: all three handles are alive.
        out.fill(|out| unsafe { sys::moe_session_predict(self.raw(), batch.raw(), out) })?;
        Ok(out)
    }

    /// Evaluates over one epoch of a [`Split::Val`](crate::Split::Val) loader. The first number is what `best` is chosen by.
    pub fn evaluate(&mut self, loader: &mut Loader) -> Result<Vec<Metric>> {
        let (raw, loader) = (self.raw(), loader.raw());
        // SAFETY: both handles are alive; the array is as long as its capacity says.
        let metrics = array(|metrics, capacity, count| unsafe {
            sys::moe_session_evaluate(raw, loader, metrics, capacity, count)
        })?;
        Ok(metrics.iter().map(metric).collect())
    }

    /// Draws one sample of a batch with its predictions of at least `min_score` into a PNG file.
    pub fn draw(
        &self,
        batch: &Batch,
        prediction: &Batch,
        index: usize,
        min_score: f64,
        path: impl AsRef<Path>,
    ) -> Result<()> {
        let path = c_path(path.as_ref())?;
        let index = i64::try_from(index).unwrap_or(i64::MAX);
        // SAFETY: all three handles are alive, the path has a NUL.
        call(|| unsafe {
            sys::moe_session_draw(self.raw(), batch.raw(), prediction.raw(), index, min_score, path.as_ptr())
        })
    }

    /// Writes a checkpoint. The file appears whole or not at all.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = c_path(path.as_ref())?;
        // SAFETY: the handle is alive, the path has a NUL.
        call(|| unsafe { sys::moe_session_save(self.raw(), path.as_ptr()) })
    }

    /// Restores what [`save`](Self::save) wrote. On an error the session is unchanged.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = c_path(path.as_ref())?;
        // SAFETY: the handle is alive, the path has a NUL.
        call(|| unsafe { sys::moe_session_load(self.raw(), path.as_ptr()) })
    }

    /// Writes the weights alone, averaged ones when the session keeps them, for other programs. format: "own", or for some
    /// models "transformers".
    pub fn export(&self, format: &str, path: impl AsRef<Path>) -> Result<()> {
        let (format, path) = (c_text(format)?, c_path(path.as_ref())?);
        // SAFETY: the handle is alive, the texts have a NUL.
        call(|| unsafe { sys::moe_session_export(self.raw(), format.as_ptr(), path.as_ptr()) })
    }

    /// A value as text: `state.step`, `state.digest`, `model.parameters`, `model.summary`, `model.classes`,
    /// `optimizer.groups.NAME.lr` and others of `moe.h`.
    pub fn get(&self, key: &str) -> Result<String> {
        let key = c_text(key)?;
        // SAFETY: the handle is alive; the buffer is as large as its capacity says.
        text(|buffer, capacity, needed| unsafe {
            sys::moe_session_get(self.raw(), key.as_ptr(), buffer, capacity, needed)
        })
    }

    /// Changes a value while training: `state.epoch` or `optimizer.groups.NAME.lr`.
    pub fn set(&mut self, key: &str, value: impl ToString) -> Result<()> {
        let (key, value) = (c_text(key)?, c_text(value.to_string())?);
        // SAFETY: the handle is alive, the texts have a NUL.
        call(|| unsafe { sys::moe_session_set(self.raw(), key.as_ptr(), value.as_ptr()) })
    }

    /// Stops a step or an evaluation of this session from elsewhere.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.gate.clone())
    }

    pub(crate) fn raw(&self) -> *mut sys::moe_session {
        self.raw.as_ptr()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.gate.close();
        // SAFETY: the handle is ours and not used after this. On the session of a run this does nothing.
        unsafe { sys::moe_session_free(self.raw.as_ptr()) }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Session").field(&self.raw).finish()
    }
}

pub(crate) fn metric(metric: &sys::moe_metric) -> Metric {
    Metric { name: from_chars(&metric.name), value: metric.value }
}

fn step_info(info: &sys::moe_step_info) -> StepInfo {
    let terms = info.loss_name.iter().zip(info.loss_value).take(info.loss_count as usize);
    StepInfo {
        micro_batches: info.micro_batches,
        step: info.step,
        samples: info.samples,
        loss: info.loss,
        losses: terms.map(|(name, value)| (from_chars(name), value)).collect(),
        grad_norm: info.grad_norm,
        lr: info.lr,
        seconds: info.seconds,
        skipped: info.skipped != 0,
    }
}
