//! Published checkpoints: what each was trained for matters more than which network it is of.
//!
//! Those of small networks are recognised by their values, whatever file they come in; the others by the name they were
//! published under, as long as the file bears it and its tensors are of that network's size.

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
    told_by: Mark,
}

/// What a published checkpoint is told by.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mark {
    /// A tensor, and the values it begins with.
    Values(&'static str, [f32; 8]),
    /// A part of the file's name, and a tensor that has this many output channels.
    Name(&'static str, &'static str, usize),
}

/// How far, relative to itself, a value may be from the fingerprint: half precision rounds by 2⁻¹¹.
const TOLERANCE: f32 = 1.0 / 1024.0;

const REAL_ESRGAN: &str = "BSD-3-Clause (xinntao/Real-ESRGAN)";
const MMAGIC: &str = "Apache-2.0 (open-mmlab/mmagic)";
const BASICSR: &str = "Apache-2.0 (XPixelGroup/BasicSR)";
const REAL_BASICVSR: &str = "Apache-2.0 (ckkelvinchan/RealBasicVSR)";

const BI_REDS: &str = "clean, sharp films that were only shrunk (bicubic, REDS: hand-held cameras outdoors); noise, blur \
                       and compression are kept or made worse";
const BI_VIMEO: &str = "clean, sharp films that were only shrunk (bicubic, Vimeo-90K: films of any kind); noise, blur and \
                        compression are kept or made worse";
const BD_VIMEO: &str = "clean films that were softened and shrunk (Gaussian of 1.6 pixels, Vimeo-90K); on sharp films it \
                        sharpens too much";
const REAL_FILMS: &str = "filmed scenes with noise, blur and compression of unknown kind; makes up texture";

const REAL_FILMS_TRUE: &str =
    "filmed scenes with noise, blur and compression of unknown kind; smooth, makes up nothing";
const REAL_PICTURES: &str = "photographs with noise, blur and compression of unknown kind; makes up texture, every frame \
                             by itself, so that films may flicker";

/// The tensors by whose size the networks of a name are told: BasicVSR++, BasicVSR and RealBasicVSR, RRDBNet.
const PLUSPLUS: &str = "reconstruction.main.0.weight";
const BASICVSR: &str = "fusion.weight";
const CLEANING: &str = "image_cleaning.0.main.0.weight";
const RRDB_23: &str = "body.22.rdb3.conv5.weight";
const RRDB_6: &str = "body.5.rdb3.conv5.weight";

/// A checkpoint told by its name.
const fn named(
    name: &'static str,
    purpose: &'static str,
    licence: &'static str,
    tensor: &'static str,
    channels: usize,
) -> Known {
    Known { name, purpose, licence, told_by: Mark::Name(name, tensor, channels) }
}

/// The checkpoints that are recognised; of two names that one file bears, the longer comes first.
pub const KNOWN: [Known; 26] = [
    named("basicvsr_plusplus_c64n7_8x1_600k_reds4", BI_REDS, MMAGIC, PLUSPLUS, 64),
    named("basicvsr_plusplus_c64n7_8x1_300k_vimeo90k_bi", BI_VIMEO, MMAGIC, PLUSPLUS, 64),
    named("basicvsr_plusplus_c64n7_8x1_300k_vimeo90k_bd", BD_VIMEO, MMAGIC, PLUSPLUS, 64),
    named("basicvsr_plusplus_c128n25_ntire_vsr", BI_REDS, MMAGIC, PLUSPLUS, 128),
    named(
        "basicvsr_plusplus_c128n25_ntire_decompress_track1",
        "films under strong H.265 compression of even quality (QP 37), true to the original, at the same size",
        MMAGIC,
        PLUSPLUS,
        128,
    ),
    named(
        "basicvsr_plusplus_c128n25_ntire_decompress_track2",
        "films under strong H.265 compression of even quality (QP 37), for looks rather than truth, at the same size",
        MMAGIC,
        PLUSPLUS,
        128,
    ),
    named(
        "basicvsr_plusplus_c128n25_ntire_decompress_track3",
        "films under strong H.265 compression of a fixed rate (200 kbit/s), true to the original, at the same size",
        MMAGIC,
        PLUSPLUS,
        128,
    ),
    named(
        "basicvsr_plusplus_denoise",
        "films with grain or noise of any strength (Gaussian), at the same size; not for compression",
        MMAGIC,
        PLUSPLUS,
        64,
    ),
    named(
        "basicvsr_plusplus_deblur_dvd",
        "films blurred by a shaking camera (DVD: phones and action cameras), at the same size",
        MMAGIC,
        PLUSPLUS,
        64,
    ),
    named(
        "basicvsr_plusplus_deblur_gopro",
        "films blurred by strong motion (GoPro), at the same size",
        MMAGIC,
        PLUSPLUS,
        64,
    ),
    named("basicvsr_reds4", BI_REDS, MMAGIC, BASICVSR, 64),
    named("basicvsr_vimeo90k_bi", BI_VIMEO, MMAGIC, BASICVSR, 64),
    named("basicvsr_vimeo90k_bd", BD_VIMEO, MMAGIC, BASICVSR, 64),
    named("BasicVSR_REDS4", BI_REDS, BASICSR, BASICVSR, 64),
    named("BasicVSR_Vimeo90K_BIx4", BI_VIMEO, BASICSR, BASICVSR, 64),
    named("BasicVSR_Vimeo90K_BDx4", BD_VIMEO, BASICSR, BASICVSR, 64),
    named("RealBasicVSR_x4", REAL_FILMS, REAL_BASICVSR, CLEANING, 64),
    named("realbasicvsr_c64b20", REAL_FILMS, MMAGIC, CLEANING, 64),
    named("realbasicvsr_wogan_c64b20", REAL_FILMS_TRUE, MMAGIC, CLEANING, 64),
    named(
        "RealESRGAN_x4plus_anime_6B",
        "drawn pictures and animation; every frame by itself, so that films may flicker",
        REAL_ESRGAN,
        RRDB_6,
        64,
    ),
    named("RealESRGAN_x4plus", REAL_PICTURES, REAL_ESRGAN, RRDB_23, 64),
    named("RealESRGAN_x2plus", REAL_PICTURES, REAL_ESRGAN, RRDB_23, 64),
    named(
        "RealESRNet_x4plus",
        "photographs with noise, blur and compression of unknown kind; smooth, makes up nothing; every frame by itself",
        REAL_ESRGAN,
        RRDB_23,
        64,
    ),
    Known {
        name: "realesr-animevideov3",
        purpose: "animation: clean lines and flat areas, small enough for whole films",
        licence: REAL_ESRGAN,
        told_by: Mark::Values(
            "body.0.bias",
            [0.21254, 0.076_211_18, 4.572_746, -9.340_443, 0.381_093_1, 0.033_494_84, 0.431_335_4, 0.201_083_2],
        ),
    },
    Known {
        name: "realesr-general-x4v3",
        purpose: "filmed scenes of any kind, with strong denoising",
        licence: REAL_ESRGAN,
        told_by: Mark::Values(
            "body.0.bias",
            [1.129_883, 0.746_582, 3.984_375, 0.067_382_81, 0.998_535_2, 0.806_640_6, -3.906_25, 2.503_906],
        ),
    },
    Known {
        name: "realesr-general-wdn-x4v3",
        purpose: "filmed scenes of any kind, with weak denoising; made to be mixed with realesr-general-x4v3",
        licence: REAL_ESRGAN,
        told_by: Mark::Values(
            "body.0.bias",
            [1.037_109, 0.982_910_2, 3.875, -0.039_581_3, 0.911_621_1, 0.489_257_8, -4.132_812, 2.347_656],
        ),
    },
];

/// Which published checkpoint it is.
#[must_use]
pub fn identify(checkpoint: &Checkpoint) -> Option<&'static Known> {
    let file = checkpoint.name().rsplit(['/', '\\']).next().unwrap_or_default();
    KNOWN.iter().find(|known| match known.told_by {
        Mark::Values(tensor, start) => {
            let close = |(value, due): (&f32, &f32)| (value - due).abs() <= TOLERANCE * due.abs();
            checkpoint.get(tensor).is_some_and(|weight| {
                weight.values().len() >= start.len() && weight.values().iter().zip(&start).all(close)
            })
        }
        Mark::Name(part, tensor, channels) => {
            file.contains(part)
                && checkpoint.get(tensor).is_some_and(|weight| weight.shape().first() == Some(&channels))
        }
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
