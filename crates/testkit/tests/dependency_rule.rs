//! The rule of ARCHITECTURE.md: which crate of the workspace may use which.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// What each crate may use besides itself. Tests may use anything; what ships may not.
const MAY_USE: &[(&str, &[&str])] = &[
    ("framelift-frame", &[]),
    ("framelift-media", &["framelift-frame"]),
    ("framelift-shots", &["framelift-frame"]),
    ("framelift-quality", &["framelift-frame", "framelift-media"]),
    ("framelift-engine", &["framelift-frame"]),
    ("framelift-engine-cpu", &["framelift-engine", "framelift-frame"]),
    ("framelift-engine-gpu", &["framelift-engine", "framelift-frame"]),
    ("framelift-nets", &["framelift-engine"]),
    (
        "framelift-pipeline",
        &["framelift-engine", "framelift-frame", "framelift-media", "framelift-nets", "framelift-shots"],
    ),
    (
        "framelift",
        &[
            "framelift-engine",
            "framelift-engine-cpu",
            "framelift-engine-gpu",
            "framelift-frame",
            "framelift-media",
            "framelift-nets",
            "framelift-pipeline",
            "framelift-quality",
        ],
    ),
    ("framelift-cli", &["framelift"]),
    ("framelift-testkit", &["framelift-engine", "framelift-frame", "framelift-nets"]),
];

#[test]
fn crates_use_only_what_they_may() {
    let metadata = metadata();
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        MAY_USE.iter().map(|(name, uses)| (*name, uses.iter().copied().collect())).collect();
    let packages = metadata["packages"].as_array().unwrap();
    let names: BTreeSet<&str> = packages.iter().map(|p| p["name"].as_str().unwrap()).collect();
    let listed: BTreeSet<&str> = allowed.keys().copied().collect();
    assert_eq!(names, listed, "a crate without a rule, or a rule without a crate");
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let shipped = package["dependencies"].as_array().unwrap().iter().filter(|d| d["kind"] != "dev");
        for dependency in shipped.map(|d| d["name"].as_str().unwrap()).filter(|d| names.contains(d)) {
            assert!(allowed[name].contains(dependency), "{name} must not use {dependency}");
        }
    }
}

#[test]
fn only_media_links_ffmpeg() {
    for package in metadata()["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            let dependency = dependency["name"].as_str().unwrap();
            assert!(!dependency.starts_with("ffmpeg") || name == "framelift-media", "{name} uses {dependency}");
        }
    }
}

fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
