//! The models that are part of the program.

use crate::{Checkpoint, CheckpointError};

/// The built-in models of one weight, for several scales.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tier {
    /// The best there is.
    #[default]
    Lift,
    /// Half the work, or less.
    LiftFast,
}

impl Tier {
    /// All of them, the default first.
    pub const ALL: [Self; 2] = [Self::Lift, Self::LiftFast];

    /// What `--model` calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lift => "lift",
            Self::LiftFast => "lift-fast",
        }
    }

    /// The tier of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.name() == name)
    }

    /// Its model for a scale, if there is one.
    #[must_use]
    pub fn model(self, scale: u32) -> Option<&'static Builtin> {
        BUILTINS.iter().find(|model| model.scale == scale && model.tiers.contains(&self))
    }
}

/// A model whose weights are in the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Builtin {
    /// What `--model` calls it.
    pub name: &'static str,
    /// Output pixels for each input pixel along a side.
    pub scale: u32,
    /// Where it stands: for a scale at which one model is light enough for both, in both.
    pub tiers: &'static [Tier],
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
pub const BUILTINS: [Builtin; 4] = [
    Builtin {
        name: "lift-x4",
        scale: 4,
        tiers: &[Tier::Lift],
        purpose: "films of any kind at four times the size: steady from frame to frame, for any processor",
        licence: OURS,
        bytes: include_bytes!("../weights/lift_x4.safetensors"),
    },
    Builtin {
        name: "lift-fast-x4",
        scale: 4,
        tiers: &[Tier::LiftFast],
        purpose: "films of any kind at four times the size: half the work of lift-x4, for slow machines and live streams",
        licence: OURS,
        bytes: include_bytes!("../weights/lift_fast_x4.safetensors"),
    },
    Builtin {
        name: "lift-x3",
        scale: 3,
        tiers: &[Tier::Lift, Tier::LiftFast],
        purpose: "films of any kind at three times the size: steady from frame to frame, fast on any processor",
        licence: OURS,
        bytes: include_bytes!("../weights/lift_x3.safetensors"),
    },
    Builtin {
        name: "lift-x2",
        scale: 2,
        tiers: &[Tier::Lift, Tier::LiftFast],
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
