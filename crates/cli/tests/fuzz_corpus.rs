//! The committed inputs of the fuzz targets (`fuzz/seeds/`), through the functions that are fuzzed: what was found stays
//! found.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a test fails by panicking, and says on what")]

#[path = "../../../fuzz/src/arguments.rs"]
mod arguments;
#[path = "../../../fuzz/src/checkpoint.rs"]
mod checkpoint;
#[path = "../../../fuzz/src/journal.rs"]
mod journal;
#[path = "../../../fuzz/src/plan.rs"]
mod plan;
#[path = "../../../fuzz/src/y4m.rs"]
mod y4m;

use std::fs;
use std::path::Path;

/// Runs a target over its seeds.
fn run_all(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        run(&fs::read(path).unwrap());
        count += 1;
    }
    assert!(count >= 5, "{target} has {count} seeds");
}

#[test]
fn arguments_of_any_kind() {
    run_all("arguments", arguments::run);
}

#[test]
fn checkpoints_of_any_kind() {
    run_all("checkpoint", checkpoint::run);
}

#[test]
fn journals_and_pieces_of_any_kind() {
    run_all("journal", journal::run);
}

#[test]
fn plans_of_any_kind() {
    run_all("plan", plan::run);
}

#[test]
fn y4m_films_of_any_kind() {
    run_all("y4m", y4m::run);
}
