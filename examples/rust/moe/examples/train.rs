//! A whole training in a folder, with progress. Run it again and it resumes; Ctrl-C finishes the step and writes a
//! checkpoint, a second one ends the program at once. The last line is a digest of the trained weights.
//!
//!     cargo run --release --example train CONFIG FOLDER [KEY=VALUE ...]
use moe::{Config, EventKind, Level, Run, RunOptions, Status, Window};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [config, folder, overrides @ ..] = arguments.as_slice() else {
        eprintln!("usage: train CONFIG FOLDER [KEY=VALUE ...]");
        return ExitCode::from(2);
    };
    match train(config, folder, overrides) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.status() == Status::Cancelled => {
            eprintln!("stopped; the same command goes on");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn train(config: &str, folder: &str, overrides: &[String]) -> moe::Result<()> {
    let mut settings = Config::load(config)?;
    for (key, value) in overrides.iter().map(|text| text.split_once('=').unwrap_or((text, ""))) {
        settings.set(key, value)?;
    }
    let mut run = RunOptions::new().log(print_warning).open(&settings, folder)?;
    run.stopper().on_interrupt();
    while let Some(event) = run.next().transpose()? {
        println!("{}", event.text);
        if event.kind == EventKind::Epoch {
            print_experts(&run)?;
        }
    }
    println!("digest {}", run.session()?.get("state.digest")?);
    Ok(())
}

fn print_warning(level: Level, line: &str) {
    if level >= Level::Warning {
        eprintln!("{line}");
    }
}

/// One line for each mixture layer: the share of every expert in this epoch.
fn print_experts(run: &Run) -> moe::Result<()> {
    let session = run.session()?;
    for (index, layer) in session.layers()?.iter().enumerate() {
        print!("  {}:", layer.name);
        let stats = session.expert_stats(index, Window::SinceReset)?;
        for (name, stat) in layer.experts.iter().zip(stats) {
            print!("  {name} {:.0}%", 100.0 * stat.share);
        }
        println!();
    }
    Ok(())
}
