//! Settings of a task: keys of its schema, their values and where those came from.
use crate::call::{c_path, c_text, call, create, text};
use crate::error::Result;
use moe_sys as sys;
use std::path::Path;
use std::ptr::{self, NonNull};

/// The settings of one task. Files are YAML; keys are dotted paths such as `optimizer.groups.new.lr`.
#[derive(Debug)]
pub struct Config(NonNull<sys::moe_config>);

// SAFETY: a handle may be used by any thread, one at a time.
unsafe impl Send for Config {}

/// Form of [`Config::dump`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dump {
    /// YAML that loads back to the same settings.
    Values,
    /// The same, each line with a comment that names its origin.
    Origins,
}

impl Config {
    /// Reads a settings file and everything it inherits from.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = c_path(path.as_ref())?;
        // SAFETY: the path is text with a NUL; `out` receives a handle that Config owns.
        create(|out| unsafe { sys::moe_config_load(path.as_ptr(), out) }, Self)
    }

    /// The same from text. `base:` paths in it start at the current folder.
    pub fn parse(yaml: &str) -> Result<Self> {
        // SAFETY: pointer and length describe `yaml`; `out` receives a handle that Config owns.
        create(|out| unsafe { sys::moe_config_parse(yaml.as_ptr().cast(), yaml.len(), ptr::null(), out) }, Self)
    }

    /// A deep copy.
    pub fn try_clone(&self) -> Result<Self> {
        // SAFETY: the handle is alive; `out` receives another one.
        create(|out| unsafe { sys::moe_config_clone(self.raw(), out) }, Self)
    }

    /// Overrides one key by a YAML scalar or flow list: `5`, `1e-4`, `true`, `"[1, 2]"`. On an error nothing changes.
    pub fn set(&mut self, key: &str, value: impl ToString) -> Result<&mut Self> {
        let (key, value) = (c_text(key)?, c_text(value.to_string())?);
        // SAFETY: the handle is alive, the texts have a NUL.
        call(|| unsafe { sys::moe_config_set(self.0.as_ptr(), key.as_ptr(), value.as_ptr()) })?;
        Ok(self)
    }

    /// The value of a key as YAML text.
    pub fn get(&self, key: &str) -> Result<String> {
        let key = c_text(key)?;
        // SAFETY: the handle is alive; the buffer is as large as its capacity says.
        text(|buffer, capacity, needed| unsafe {
            sys::moe_config_get(self.raw(), key.as_ptr(), buffer, capacity, needed)
        })
    }

    /// Where the value of a key came from: `default`, `file:line:column` or `override`.
    pub fn origin(&self, key: &str) -> Result<String> {
        let key = c_text(key)?;
        // SAFETY: the handle is alive; the buffer is as large as its capacity says.
        text(|buffer, capacity, needed| unsafe {
            sys::moe_config_origin(self.raw(), key.as_ptr(), buffer, capacity, needed)
        })
    }

    /// All settings, defaults included, as YAML.
    pub fn dump(&self, form: Dump) -> Result<String> {
        let flags = match form {
            Dump::Values => sys::MOE_DUMP_VALUES,
            Dump::Origins => sys::MOE_DUMP_ORIGINS,
        };
        // SAFETY: the handle is alive; the buffer is as large as its capacity says.
        text(|buffer, capacity, needed| unsafe { sys::moe_config_dump(self.raw(), flags, buffer, capacity, needed) })
    }

    /// Takes over a handle.
    pub(crate) fn own(raw: NonNull<sys::moe_config>) -> Self {
        Self(raw)
    }

    pub(crate) fn raw(&self) -> *const sys::moe_config {
        self.0.as_ptr()
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and not used after this.
        unsafe { sys::moe_config_free(self.0.as_ptr()) }
    }
}

/// The reference page of a task's settings in Markdown; `None` gives the keys that every task shares.
pub fn describe(task: Option<&str>) -> Result<String> {
    let task = task.map(c_text).transpose()?;
    let name = task.as_ref().map_or(ptr::null(), |task| task.as_ptr());
    // SAFETY: the name is NULL or text with a NUL; the buffer is as large as its capacity says.
    text(|buffer, capacity, needed| unsafe { sys::moe_config_describe(name, buffer, capacity, needed) })
}
