//! Runs: events, stop and resume.
mod common;

use common::{Folder, data_config, expect_error};
use moe::{EventKind, Run, RunMode, RunOptions, Status, Window};

#[test]
fn a_run_tells_its_events_and_its_experts() {
    let folder = Folder::new();
    let mut run = Run::open(&data_config(), folder.path()).unwrap();
    let mut kinds = Vec::new();
    while let Some(event) = run.next().transpose().unwrap() {
        assert!(!event.text.is_empty());
        if event.kind == EventKind::Epoch {
            let stats = run.session().unwrap().layer_stats(0, Window::SinceReset).unwrap();
            assert_eq!(stats.tokens, 6);
        }
        kinds.push(event.kind);
    }
    assert_eq!(kinds.iter().filter(|kind| **kind == EventKind::Step).count(), 6);
    assert_eq!(kinds.iter().filter(|kind| **kind == EventKind::Epoch).count(), 2);
    assert_eq!(kinds.last(), Some(&EventKind::Done));
    assert!(run.next().is_none());
}

#[test]
fn a_stopped_run_ends_with_the_bits_of_one_without_a_stop() {
    let (whole, stopped) = (Folder::new(), Folder::new());
    let digest = |mut run: Run| {
        run.train(|_| ()).unwrap();
        run.session().unwrap().get("state.digest").unwrap()
    };
    let expected = digest(Run::open(&data_config(), whole.path()).unwrap());

    let mut run = Run::open(&data_config(), stopped.path()).unwrap();
    let stopper = run.stopper();
    let result = run.train(|event| assert!(event.step < 2 || stopper.stop()));
    expect_error(result, Status::Cancelled, "");
    drop(run);
    assert!(!stopper.stop());
    assert_eq!(digest(Run::resume(stopped.path()).unwrap()), expected);
}

#[test]
fn folders_are_held_against_the_mode() {
    let folder = Folder::new();
    expect_error(Run::resume(folder.path()), Status::State, "");
    let mut run = Run::open(&data_config(), folder.path()).unwrap();
    expect_error(Run::open(&data_config(), folder.path()), Status::State, "");
    run.next().unwrap().unwrap();
    run.stopper().stop();
    expect_error(run.next().unwrap(), Status::Cancelled, ""); // with a checkpoint
    drop(run);
    let new = RunOptions::new().mode(RunMode::New).open(&data_config(), folder.path());
    expect_error(new, Status::State, "");
    let mut other = data_config();
    other.set("optimizer.lr", 1e-3).unwrap();
    expect_error(Run::open(&other, folder.path()), Status::Config, "optimizer");
}

#[test]
fn a_learning_rate_is_changed_between_events() {
    let folder = Folder::new();
    let mut run = Run::open(&data_config(), folder.path()).unwrap();
    let groups = run.session().unwrap().get("optimizer.groups").unwrap();
    let key = format!("optimizer.groups.{}.lr", groups.lines().next().unwrap());
    run.next().unwrap().unwrap();
    run.set(&key, 1e-5).unwrap();
    assert_eq!(run.session().unwrap().get(&key).unwrap().parse::<f64>().unwrap(), 1e-5);
}
