//! The models that are part of the program.

use crate::{Checkpoint, CheckpointError};

/// A model whose weights are in the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Builtin {
    /// What `--model` calls it.
    pub name: &'static str,
    /// What it is good for, in one sentence.
    pub purpose: &'static str,
    /// The licence of its weights.
    pub licence: &'static str,
    /// Its checkpoint, a safetensors file.
    bytes: &'static [u8],
}

/// The licence of the project, weights included.
const OURS: &str = "MIT OR Apache-2.0 (framelift)";

/// The models, the default first.
pub const BUILTINS: [Builtin; 2] = [
    Builtin {
        name: "lift-x4",
        purpose: "films of any kind at four times the size: steady from frame to frame, fast on any processor",
        licence: OURS,
        bytes: include_bytes!("../weights/lift_x4.safetensors"),
    },
    Builtin {
        name: "lift-x2",
        purpose: "films of any kind at twice the size: steady from frame to frame, fast on any processor",
        licence: OURS,
        bytes: include_bytes!("../weights/lift_x2.safetensors"),
    },
];

/// The names of the models, the default first.
pub fn names() -> impl Iterator<Item = &'static str> {
    BUILTINS.iter().map(|model| model.name)
}

/// The checkpoint of the model `name`; `None` where there is no such model.
///
/// # Errors
/// [`CheckpointError::Content`] if the program itself is damaged.
pub fn checkpoint(name: &str) -> Option<Result<Checkpoint, CheckpointError>> {
    let model = BUILTINS.iter().find(|model| model.name == name)?;
    let checkpoint = Checkpoint::from_bytes(model.name, model.bytes);
    Some(checkpoint.map(|c| c.with_metadata("purpose", model.purpose).with_metadata("licence", model.licence)))
}
