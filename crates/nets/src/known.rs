//! Published checkpoints that are recognised by their values, whatever file they come in.

use crate::Checkpoint;

/// A published checkpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Known {
    /// The name it was published under.
    pub name: &'static str,
    /// What it is good for, in one sentence.
    pub purpose: &'static str,
    /// The licence of the weights.
    pub licence: &'static str,
    /// A tensor, and the values it begins with.
    fingerprint: (&'static str, [f32; 8]),
}

/// How far, relative to itself, a value may be from the fingerprint: half precision rounds by 2⁻¹¹.
const TOLERANCE: f32 = 1.0 / 1024.0;

const REAL_ESRGAN: &str = "BSD-3-Clause (xinntao/Real-ESRGAN)";

/// The checkpoints that are recognised.
pub const KNOWN: [Known; 3] = [
    Known {
        name: "realesr-animevideov3",
        purpose: "animation: clean lines and flat areas, small enough for whole films",
        licence: REAL_ESRGAN,
        fingerprint: (
            "body.0.bias",
            [0.21254, 0.076_211_18, 4.572_746, -9.340_443, 0.381_093_1, 0.033_494_84, 0.431_335_4, 0.201_083_2],
        ),
    },
    Known {
        name: "realesr-general-x4v3",
        purpose: "filmed scenes of any kind, with strong denoising",
        licence: REAL_ESRGAN,
        fingerprint: (
            "body.0.bias",
            [1.129_883, 0.746_582, 3.984_375, 0.067_382_81, 0.998_535_2, 0.806_640_6, -3.906_25, 2.503_906],
        ),
    },
    Known {
        name: "realesr-general-wdn-x4v3",
        purpose: "filmed scenes of any kind, with weak denoising; made to be mixed with realesr-general-x4v3",
        licence: REAL_ESRGAN,
        fingerprint: (
            "body.0.bias",
            [1.037_109, 0.982_910_2, 3.875, -0.039_581_3, 0.911_621_1, 0.489_257_8, -4.132_812, 2.347_656],
        ),
    },
];

/// Which published checkpoint it is.
#[must_use]
pub fn identify(checkpoint: &Checkpoint) -> Option<&'static Known> {
    KNOWN.iter().find(|known| {
        let (tensor, start) = known.fingerprint;
        let close = |(value, due): (&f32, &f32)| (value - due).abs() <= TOLERANCE * due.abs();
        checkpoint
            .get(tensor)
            .is_some_and(|weight| weight.values().len() >= start.len() && weight.values().iter().zip(&start).all(close))
    })
}

/// What a checkpoint is good for and its licence: as published, else as its file says.
pub(crate) fn purpose_and_licence(checkpoint: &Checkpoint, otherwise: &str) -> (String, Option<String>) {
    if let Some(known) = identify(checkpoint) {
        return (known.purpose.to_owned(), Some(known.licence.to_owned()));
    }
    let says = |key: &str| checkpoint.metadata().get(key).cloned();
    let licence = says("licence").or_else(|| says("license"));
    (says("purpose").unwrap_or_else(|| otherwise.to_owned()), licence)
}
