//! Log closures: what they receive, and what becomes of a panic inside.
mod common;

use common::{Folder, data_config, expect_error, tiny_batch, tiny_config};
use moe::{GenerateOptions, Level, Loader, Run, RunOptions, SessionOptions, Split, Status};
use std::sync::mpsc;

#[test]
fn a_loader_tells_what_its_split_holds() {
    let (sender, lines) = mpsc::channel();
    let mut loader = Loader::open(&data_config(), Split::Train).unwrap();
    loader.set_log(move |level, line| sender.send((level, line.to_owned())).unwrap()).unwrap();
    let (level, line) = lines.try_recv().unwrap();
    assert_eq!(level, Level::Info);
    assert!(line.contains('6') && !line.contains('\n'), "{line}");
}

#[test]
fn a_panic_becomes_an_error_with_its_payload() {
    let mut loader = Loader::open(&data_config(), Split::Train).unwrap();
    let error = loader.set_log(|_, _| panic!("no log")).unwrap_err();
    assert_eq!(error.status(), Status::CallbackPanic);
    assert_eq!(error.text(), "the log closure panicked: no log");
    let payload = error.into_panic().unwrap();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"no log"));
    // The loader works on, and the closure is not called again.
    assert_eq!(loader.epoch().map(Result::unwrap).count(), 3);
}

#[test]
fn a_handle_made_by_a_call_with_a_panic_is_freed() {
    let folder = Folder::new();
    let mut config = data_config();
    config.set("train.epochs", 1).unwrap();
    let failed = RunOptions::new().log(|_, _| panic!("at once")).open(&config, folder.path());
    match failed {
        // Whether opening a run tells anything is the library's affair; the first event does at the latest.
        Ok(mut run) => expect_error(run.by_ref().collect::<Result<Vec<_>, _>>(), Status::CallbackPanic, "at once"),
        Err(error) => assert_eq!(error.status(), Status::CallbackPanic),
    }
    // The folder is free again: a leaked run would hold its lock.
    Run::open(&config, folder.path()).unwrap().train(|_| ()).unwrap();
}

#[test]
fn a_panic_while_generating_is_an_error() {
    let folder = Folder::new();
    let (sender, lines) = mpsc::channel();
    let options = GenerateOptions::new().images(2, 1).size(160, 96);
    options
        .log(move |_, line| sender.send(line.to_owned()).unwrap())
        .write("traffic", folder.path().join("a"))
        .unwrap();
    assert!(lines.try_recv().is_ok(), "expected a line about the images written");
    let options = GenerateOptions::new().images(2, 1).size(160, 96).log(|_, _| panic!("stop"));
    expect_error(options.write("traffic", folder.path().join("b")), Status::CallbackPanic, "stop");
}

#[test]
fn a_closure_may_use_other_handles() {
    let mut loader = Loader::open(&data_config(), Split::Train).unwrap();
    let (sender, lines) = mpsc::channel();
    let log = move |_, _: &str| sender.send(tiny_config().get("train.epochs").unwrap()).unwrap();
    loader.set_log(log).unwrap();
    assert_eq!(lines.try_recv().unwrap(), "2");
}

#[test]
fn a_panic_in_progress_unwinds_and_leaves_the_run_usable() {
    let folder = Folder::new();
    let mut config = data_config();
    config.set("train.epochs", 1).unwrap();
    let mut run = Run::open(&config, folder.path()).unwrap();
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.train(|_| panic!("progress"))));
    assert_eq!(*unwound.unwrap_err().downcast_ref::<&str>().unwrap(), "progress");
    run.train(|_| ()).unwrap();
}

#[test]
fn a_session_with_a_log_trains() {
    let mut session = SessionOptions::new().log(|_, _| ()).create(&tiny_config()).unwrap();
    session.feed(&tiny_batch()).unwrap();
    session.step().unwrap();
}
