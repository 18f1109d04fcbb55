//! Where published checkpoints are downloaded from: their authors' release pages.
//!
//! Sizes and hashes are those that several independent packagers of the same releases state alike. Where only the first
//! digits of a hash are known, they are the authors' own: open-mmlab puts them into the file's name.

use framelift_nets::known::KNOWN;

/// A published checkpoint and where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    /// The name it was published under.
    pub name: String,
    /// Its address.
    pub url: String,
    /// Its size, where known.
    pub bytes: Option<u64>,
    /// Its SHA-256 in small hexadecimal digits, or the first eight or more of them.
    pub sha256: String,
    /// What it is good for.
    pub purpose: String,
    /// The licence of the weights.
    pub licence: String,
}

/// Real-ESRGAN: name, release, size, SHA-256.
const REAL_ESRGAN: [(&str, &str, u64, &str); 7] = [
    ("RealESRGAN_x4plus", "v0.1.0", 67_040_989, "4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1"),
    ("RealESRNet_x4plus", "v0.1.1", 67_040_989, "a820b9bde89a874d7599d545567308ce6c128fc8754a53208eda016d40aa81df"),
    ("RealESRGAN_x2plus", "v0.2.1", 67_061_725, "49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb"),
    (
        "RealESRGAN_x4plus_anime_6B",
        "v0.2.2.4",
        17_938_799,
        "f872d837d3c90ed2e05227bed711af5671a6fd1c9f7d7e91c911a61f155e99da",
    ),
    ("realesr-animevideov3", "v0.2.5.0", 2_504_012, "b8a8376811077954d82ca3fcf476f1ac3da3e8a68a4f4d71363008000a18b75d"),
    ("realesr-general-x4v3", "v0.2.5.0", 4_885_111, "8dc7edb9ac80ccdc30c3a5dca6616509367f05fbc184ad95b731f05bece96292"),
    (
        "realesr-general-wdn-x4v3",
        "v0.2.5.0",
        4_885_111,
        "1641f8c4464b9f097c9fdda5589273713f67cf59f3d909e0bd688f0cee269dca",
    ),
];

/// open-mmlab's: name as known, folder, what follows the name in the file's, SHA-256 or its first eight digits.
const MMLAB: [(&str, &str, &str, &str); 15] = [
    (
        "basicvsr_plusplus_c64n7_8x1_600k_reds4",
        "basicvsr_plusplus",
        "_20210217-db622b2f",
        "db622b2fd4caae0a4c63ab5e54f1cfef7a62a0f3b8ad101aba2eae068d928549",
    ),
    (
        "basicvsr_plusplus_c64n7_8x1_300k_vimeo90k_bi",
        "basicvsr_plusplus",
        "_20210305-4ef437e2",
        "4ef437e27e7ed468853d9bad2e7a02e50fd4582c986a5cb4231054b0021b2e81",
    ),
    (
        "basicvsr_plusplus_c64n7_8x1_300k_vimeo90k_bd",
        "basicvsr_plusplus",
        "_20210305-ab315ab1",
        "ab315ab1d83d09834d43c8ba17d019282a93f0cbf40bfd49be99dfcebf4c12eb",
    ),
    (
        "basicvsr_plusplus_c128n25_ntire_vsr",
        "basicvsr_plusplus",
        "_20210311-1ff35292",
        "1ff352921112b84cacc79b23df502a2319d5714d6b26730248839a6e4074c285",
    ),
    (
        "basicvsr_plusplus_c128n25_ntire_decompress_track1",
        "basicvsr_plusplus",
        "_20210223-7b2eba02",
        "7b2eba02a24989bfbf8b2ed4a06c8e6fd5dbeb193b1178ef7171cd1c455ddb0f",
    ),
    (
        "basicvsr_plusplus_c128n25_ntire_decompress_track2",
        "basicvsr_plusplus",
        "_20210314-eeae05e6",
        "eeae05e655b9849d57a7bb732004ebeb75d376cb0bf76792f18ca0f9eb491774",
    ),
    (
        "basicvsr_plusplus_c128n25_ntire_decompress_track3",
        "basicvsr_plusplus",
        "_20210304-6daf4a40",
        "6daf4a405b0ff7221e3ac39b0a5c788468ae17661c577a3353b9fd477d0c983a",
    ),
    (
        "basicvsr_plusplus_denoise",
        "basicvsr_plusplus",
        "-28f6920c",
        "28f6920c4681bd8468a831d479459872c7f020d95c40eb3ced4745670bf2d596",
    ),
    (
        "basicvsr_plusplus_deblur_dvd",
        "basicvsr_plusplus",
        "-ecd08b7f",
        "ecd08b7f938c54f5cd8b2e62cbf4867a1b9e0500ce728bd981a6b99ea1ea9dbf",
    ),
    (
        "basicvsr_plusplus_deblur_gopro",
        "basicvsr_plusplus",
        "-3c5bb9b5",
        "3c5bb9b57b74b268624236ae01e7dc5f5d76ca0cdd3577f2f94d92943900f714",
    ),
    ("basicvsr_reds4", "basicvsr", "_20120409-0e599677", "0e599677"),
    ("basicvsr_vimeo90k_bi", "basicvsr", "_20210409-d2d8f760", "d2d8f760"),
    ("basicvsr_vimeo90k_bd", "basicvsr", "_20210409-0154dd64", "0154dd64"),
    (
        "realbasicvsr_c64b20",
        "real_basicvsr",
        "_1x30x8_lr5e-5_150k_reds_20211104-52f77c2c",
        "52f77c2c835aaa3fe675b3959b2f85010a6c6f63f77f7e279394646e55a4e376",
    ),
    ("realbasicvsr_wogan_c64b20", "real_basicvsr", "_2x30x8_lr1e-4_300k_reds_20211027-0e2ff207", "0e2ff207"),
];

/// The published checkpoints that can be downloaded, in the order in which they are known.
#[must_use]
pub fn downloads() -> Vec<Download> {
    KNOWN.iter().filter_map(|known| download(known.name, known.purpose, known.licence)).collect()
}

fn download(name: &str, purpose: &str, licence: &str) -> Option<Download> {
    let (url, bytes, sha256) = address(name)?;
    let (name, purpose, licence) = (name.to_owned(), purpose.to_owned(), licence.to_owned());
    Some(Download { name, url, bytes, sha256: sha256.to_owned(), purpose, licence })
}

fn address(name: &str) -> Option<(String, Option<u64>, &'static str)> {
    if let Some((_, release, bytes, sha256)) = REAL_ESRGAN.iter().find(|(known, ..)| *known == name) {
        let url = format!("https://github.com/xinntao/Real-ESRGAN/releases/download/{release}/{name}.pth");
        return Some((url, Some(*bytes), sha256));
    }
    let (_, folder, ending, sha256) = MMLAB.iter().find(|(known, ..)| *known == name)?;
    Some((format!("https://download.openmmlab.com/mmediting/restorers/{folder}/{name}{ending}.pth"), None, sha256))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::installed::model_name;

    #[test]
    fn every_address_is_of_a_known_checkpoint_and_bears_its_hash() {
        let downloads = downloads();
        assert_eq!(downloads.len(), REAL_ESRGAN.len() + MMLAB.len(), "an address of no known checkpoint");
        for Download { name, url, sha256, licence, .. } in &downloads {
            assert!(url.starts_with("https://") && !licence.is_empty(), "{name}");
            assert!([8, 64].contains(&sha256.len()), "{name}");
            assert!(sha256.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()), "{name}");
            let file = url.rsplit('/').next().unwrap();
            assert_eq!(model_name(Path::new(file)).as_ref(), Some(name));
            if url.contains("openmmlab") {
                assert!(file.ends_with(&format!("-{}.pth", &sha256[..8])), "{name}");
            }
        }
    }
}
