//! Batches of a built-in data set.
use crate::batch::Batch;
use crate::call::{c_path, call, create, text};
use crate::callback::{Level, Log};
use crate::config::Config;
use crate::error::Result;
use moe_sys as sys;
use std::path::Path;
use std::ptr::NonNull;

/// A part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Split {
    /// Shuffled and augmented.
    Train,
    /// In order, with what the evaluator needs.
    Val,
}

/// Reads a data set of the settings and decodes it in worker threads. The order of its batches depends on the seed and
/// the epoch alone.
pub struct Loader {
    raw: NonNull<sys::moe_loader>,
    log: Option<Log>,
}

// SAFETY: a handle may be used by any thread, one at a time; its log closure is Send.
unsafe impl Send for Loader {}

impl Loader {
    /// Opens one split of the data set of the settings.
    pub fn open(config: &Config, split: Split) -> Result<Self> {
        let split = match split {
            Split::Train => c"train",
            Split::Val => c"val",
        };
        // SAFETY: the config is alive; `out` receives a handle that Loader owns.
        create(|out| unsafe { sys::moe_loader_create(config.raw(), split.as_ptr(), out) }, Self::own)
    }

    /// A loader over image files without labels, for prediction.
    pub fn files<P: AsRef<Path>>(config: &Config, paths: &[P]) -> Result<Self> {
        let paths: Vec<_> = paths.iter().map(|path| c_path(path.as_ref())).collect::<Result<_>>()?;
        let pointers: Vec<_> = paths.iter().map(|path| path.as_ptr()).collect();
        create(
            // SAFETY: the config is alive; there are as many pointers to text as the count says.
            |out| unsafe { sys::moe_loader_create_files(config.raw(), pointers.as_ptr(), pointers.len(), out) },
            Self::own,
        )
    }

    fn own(raw: NonNull<sys::moe_loader>) -> Self {
        Self { raw, log: None }
    }

    /// Tells `log` of samples that cannot be read, of odd annotations and of what the split holds, at once and then
    /// within [`next_into`](Self::next_into), [`epoch`](Self::epoch) and [`Session::evaluate`](crate::Session::evaluate).
    pub fn set_log(&mut self, log: impl FnMut(Level, &str) + Send + 'static) -> Result<()> {
        let log = Log::new(log);
        let (log_fn, user) = Log::to_c(Some(&log));
        let mut accepted = false;
        let result = call(|| {
            // SAFETY: the handle is alive, and the closure is kept as long as the library may call it.
            let status = unsafe { sys::moe_loader_set_log(self.raw.as_ptr(), log_fn, user) };
            accepted = status == sys::MOE_OK;
            status
        });
        if accepted {
            self.log = Some(log);
        }
        result
    }

    /// The batches of one epoch, each in memory of its own. After [`Status::Data`](crate::Status::Data) (too many broken
    /// samples) the next item tries the same batch again.
    pub fn epoch(&mut self) -> Epoch<'_> {
        Epoch { loader: self, over: false }
    }

    /// Replaces the contents of `batch` by the next batch; false after the last one of the epoch. The call after that
    /// begins the next epoch.
    pub fn next_into(&mut self, batch: &mut Batch) -> Result<bool> {
        // SAFETY: both handles are alive.
        batch.fill(|batch| unsafe { sys::moe_loader_next(self.raw.as_ptr(), batch) })
    }

    /// Samples in the split, and batches in one epoch.
    pub fn size(&self) -> Result<(usize, usize)> {
        let (mut samples, mut batches) = (0, 0);
        // SAFETY: the handle is alive.
        call(|| unsafe { sys::moe_loader_size(self.raw.as_ptr(), &mut samples, &mut batches) })?;
        Ok((samples as usize, batches as usize))
    }

    /// File name of the sample with this image id, as the data set gives it.
    pub fn file_name(&self, image_id: i64) -> Result<String> {
        // SAFETY: the handle is alive; the buffer is as large as its capacity says.
        text(|buffer, capacity, needed| unsafe {
            sys::moe_loader_file_name(self.raw.as_ptr(), image_id, buffer, capacity, needed)
        })
    }

    /// Samples that could not be read so far.
    pub fn broken(&self) -> Result<usize> {
        let mut count = 0;
        // SAFETY: the handle is alive.
        call(|| unsafe { sys::moe_loader_broken(self.raw.as_ptr(), &mut count) })?;
        Ok(count as usize)
    }

    pub(crate) fn raw(&mut self) -> *mut sys::moe_loader {
        self.raw.as_ptr()
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and not used after this; its log is dropped later.
        unsafe { sys::moe_loader_free(self.raw.as_ptr()) }
    }
}

/// Iterator over the batches of one epoch.
pub struct Epoch<'a> {
    loader: &'a mut Loader,
    over: bool,
}

impl Iterator for Epoch<'_> {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = Batch::new().and_then(|mut batch| Ok(self.loader.next_into(&mut batch)?.then_some(batch)));
        self.over = matches!(next, Ok(None));
        next.transpose()
    }
}

impl std::iter::FusedIterator for Epoch<'_> {}

impl std::fmt::Debug for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loader").field("raw", &self.raw).field("log", &self.log.is_some()).finish()
    }
}
