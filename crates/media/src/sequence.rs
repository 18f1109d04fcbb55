//! Names of numbered pictures, such as `frames/%08d.png`.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::MediaError;

/// A path whose file name holds one number, written as `%d` or `%08d`; `%%` stands for a percent sign.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    text: String,
    folder: PathBuf,
    prefix: String,
    digits: usize,
    suffix: String,
}

impl Pattern {
    /// Whether `text` holds a number such as `%d` or `%08d`.
    pub(crate) fn looks_like(text: &str) -> bool {
        split_number(text).is_some()
    }

    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// [`MediaError::Usage`] unless the file name, and not the folder, holds exactly one number.
    pub fn parse(text: &str) -> Result<Self, MediaError> {
        let wrong = |what: &str| {
            MediaError::usage(
                format!("{text} is not a pattern of picture names: {what}"),
                "write one number into the file name, such as frames/%08d.png",
            )
        };
        let (folder, name) = match text.rfind(['/', std::path::MAIN_SEPARATOR]) {
            Some(at) => (&text[..=at], &text[at + 1..]),
            None => ("", text),
        };
        if split_number(folder).is_some() {
            return Err(wrong("the number stands in the folder's name"));
        }
        let (prefix, digits, suffix) = split_number(name).ok_or_else(|| wrong("it holds no number"))?;
        if split_number(suffix).is_some() {
            return Err(wrong("it holds two numbers"));
        }
        if digits > 18 {
            return Err(wrong("the number has more than 18 digits"));
        }
        Ok(Self {
            text: text.to_owned(),
            folder: if folder.is_empty() { PathBuf::from(".") } else { PathBuf::from(folder.replace("%%", "%")) },
            prefix: prefix.replace("%%", "%"),
            digits,
            suffix: suffix.replace("%%", "%"),
        })
    }

    /// The folder of the pictures.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What follows the number, such as `.png`.
    pub(crate) fn suffix(&self) -> &str {
        &self.suffix
    }

    /// The file name of picture `number`.
    #[must_use]
    pub fn file_name(&self, number: u64) -> String {
        format!("{}{number:0width$}{}", self.prefix, self.suffix, width = self.digits)
    }

    /// The path of picture `number`.
    #[must_use]
    pub fn path(&self, number: u64) -> PathBuf {
        self.folder.join(self.file_name(number))
    }

    /// The number in `file_name`, if the pattern could have made that name.
    #[must_use]
    pub fn number(&self, file_name: &str) -> Option<u64> {
        let digits = file_name.strip_prefix(self.prefix.as_str())?.strip_suffix(self.suffix.as_str())?;
        let number = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()?;
        (self.file_name(number) == file_name).then_some(number)
    }

    /// The numbers of which there are files, in order.
    ///
    /// # Errors
    ///
    /// Whatever reading the folder gives.
    pub fn numbers(&self) -> std::io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            numbers.extend(entry?.file_name().to_str().and_then(|name| self.number(name)));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The pattern in FFmpeg's own spelling, which escapes percent signs the same way.
    pub(crate) fn ffmpeg(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Splits `text` around its first number: what precedes, the digits asked for, what follows.
fn split_number(text: &str) -> Option<(&str, usize, &str)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'%' {
            at += 1;
            continue;
        }
        if bytes.get(at + 1) == Some(&b'%') {
            at += 2;
            continue;
        }
        let digits = bytes[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
        if bytes.get(at + 1 + digits) == Some(&b'd') {
            let width = text[at + 1..at + 1 + digits].trim_start_matches('0').parse().unwrap_or(0);
            return Some((&text[..at], width, &text[at + digits + 2..]));
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_inverse() {
        let pattern = Pattern::parse("a/b%%_%05d.png").unwrap();
        assert_eq!(pattern.folder(), Path::new("a/"));
        assert_eq!(pattern.file_name(42), "b%_00042.png");
        assert_eq!(pattern.number("b%_00042.png"), Some(42));
        assert_eq!(pattern.number("b%_42.png"), None);
        assert_eq!(pattern.number("b%_123456.png"), Some(123_456));
        assert_eq!(pattern.number("b%_0004x.png"), None);
        assert_eq!(Pattern::parse("%d.png").unwrap().file_name(7), "7.png");
    }

    #[test]
    fn the_number_stands_once_in_the_file_name() {
        for text in ["%d/x.png", "x.png", "%d_%d.png", "%99d.png"] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }
}
