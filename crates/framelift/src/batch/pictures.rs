//! Numbered pictures of a folder that belong together, as patterns such as `%04d.png`.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Extensions of pictures.
pub(super) const PICTURES: [&str; 14] =
    ["bmp", "dpx", "exr", "jp2", "jpeg", "jpg", "pbm", "pgm", "png", "pnm", "ppm", "tga", "tif", "tiff"];

/// Pictures that bear one name but for the number at its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sequence {
    prefix: String,
    /// Digits that numbers are filled up to; 1 for none.
    digits: usize,
    extension: String,
}

impl Sequence {
    /// The pattern of the file names.
    pub(super) fn pattern(&self) -> String {
        self.with_extension(&self.extension)
    }

    /// The same with PNG as the kind of picture.
    pub(super) fn png_pattern(&self) -> String {
        self.with_extension("png")
    }

    fn with_extension(&self, extension: &str) -> String {
        let prefix = self.prefix.replace('%', "%%");
        match self.digits {
            1 => format!("{prefix}%d.{extension}"),
            digits => format!("{prefix}%0{digits}d.{extension}"),
        }
    }
}

/// The sequences among `files`, and the files that belong to none.
pub(super) fn sequences(files: &[PathBuf]) -> (Vec<Sequence>, Vec<PathBuf>) {
    let mut groups: BTreeMap<(String, String), Vec<(usize, &PathBuf)>> = BTreeMap::new();
    let mut single = Vec::new();
    for file in files {
        match parts(file) {
            Some((prefix, digits, extension)) => groups.entry((prefix, extension)).or_default().push((digits, file)),
            None => single.push(file.clone()),
        }
    }
    let mut found = Vec::new();
    for ((prefix, extension), members) in groups {
        match &members[..] {
            [(_, file)] => single.push((*file).clone()),
            _ => {
                let digits = members.iter().map(|(digits, _)| *digits).min().unwrap_or(1);
                found.push(Sequence { prefix, digits, extension });
            }
        }
    }
    single.sort();
    (found, single)
}

/// What precedes the number, its digits, and the extension.
fn parts(file: &Path) -> Option<(String, usize, String)> {
    let (stem, extension) = (file.file_stem()?.to_str()?, file.extension().and_then(OsStr::to_str)?);
    let digits = stem.bytes().rev().take_while(u8::is_ascii_digit).count();
    // Longer numbers are dates or hashes, and beyond what patterns hold.
    (1..=18).contains(&digits).then(|| (stem[..stem.len() - digits].to_owned(), digits, extension.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_pictures_are_one_film() {
        let files: Vec<PathBuf> = [
            "a/cover.jpg",
            "a/f9.png",
            "a/f10.png",
            "a/s_0001.tif",
            "a/s_0002.tif",
            "a/s_10000.tif",
            "a/50%x1.png",
            "a/50%x2.png",
            "a/solo7.png",
        ]
        .iter()
        .map(PathBuf::from)
        .collect();
        let (found, single) = sequences(&files);
        let patterns: Vec<String> = found.iter().map(Sequence::pattern).collect();
        assert_eq!(patterns, ["50%%x%d.png", "f%d.png", "s_%04d.tif"]);
        assert_eq!(found[2].png_pattern(), "s_%04d.png");
        assert_eq!(single, [PathBuf::from("a/cover.jpg"), PathBuf::from("a/solo7.png")]);
    }
}
