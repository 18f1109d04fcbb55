//! What the bytes of an output depend on, and what of it has changed.

use std::collections::BTreeMap;
use std::fs::File;
use std::hash::Hasher as _;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use framelift_media::Input;
use twox_hash::XxHash3_64;

/// Files up to this size are read whole; of larger ones, as many bytes are read from places spread evenly over them.
const READ_BYTES: u64 = 64 << 20;

/// Places in a large file, and pictures of a long sequence, that are read.
const PLACES: u64 = 256;

/// The hash of a film's content; `None` for inputs that cannot be read twice.
///
/// # Errors
/// Those of reading.
pub(crate) fn content(input: &Input) -> io::Result<Option<u64>> {
    let mut state = XxHash3_64::with_seed(0);
    match input {
        Input::Stdin | Input::Url(_) => return Ok(None),
        Input::File(path) if !path.metadata()?.is_file() => return Ok(None),
        Input::File(path) => add_file(&mut state, path, READ_BYTES)?,
        Input::Sequence(pattern) => {
            let numbers = pattern.numbers()?;
            let spread = (numbers.len() as u64).div_ceil(PLACES).max(1) as usize;
            for (n, &number) in numbers.iter().enumerate() {
                let path = pattern.path(number);
                state.write(&number.to_le_bytes());
                state.write(&path.metadata()?.len().to_le_bytes());
                if n.is_multiple_of(spread) {
                    add_file(&mut state, &path, READ_BYTES / PLACES)?;
                }
            }
        }
    }
    Ok(Some(state.finish()))
}

fn add_file(state: &mut XxHash3_64, path: &Path, most_bytes: u64) -> io::Result<()> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    state.write(&length.to_le_bytes());
    let (places, bytes) = if length <= most_bytes { (1, length) } else { (PLACES, most_bytes / PLACES) };
    let mut block = vec![0; 1 << 16];
    for place in 0..places {
        let at = u128::from(length - bytes) * u128::from(place) / u128::from((places - 1).max(1));
        file.seek(SeekFrom::Start(at as u64))?;
        let mut left = bytes;
        while left > 0 {
            let part = &mut block[..left.min(1 << 16) as usize];
            file.read_exact(part)?;
            state.write(part);
            left -= part.len() as u64;
        }
    }
    Ok(())
}

/// The names of what differs between two keys, for people: `the model, the size`.
pub(crate) fn differences(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    names.into_iter().filter(|name| before.get(*name) != now.get(*name)).map(|name| format!("the {name}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_told_by_bytes_and_not_by_names_or_times() {
        let folder = tempfile::tempdir().unwrap();
        let of = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            content(&Input::File(path)).unwrap().unwrap()
        };
        let bytes: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
        assert_eq!(of("a", &bytes), of("b", &bytes));
        assert_ne!(of("a", &bytes), of("b", &bytes[1..]));
        let mut changed = bytes.clone();
        changed[50_000] ^= 1;
        assert_ne!(of("a", &bytes), of("b", &changed));
        assert_eq!(content(&Input::Stdin).unwrap(), None);
    }

    #[test]
    fn large_files_are_read_in_places() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut whole = XxHash3_64::with_seed(0);
        std::fs::write(&path, vec![7_u8; 300_000]).unwrap();
        add_file(&mut whole, &path, 300_000).unwrap();
        let mut places = XxHash3_64::with_seed(0);
        add_file(&mut places, &path, 256 * 100).unwrap();
        assert_ne!(whole.finish(), places.finish());
        let mut changed = XxHash3_64::with_seed(0);
        let mut bytes = vec![7_u8; 300_000];
        *bytes.last_mut().unwrap() = 8;
        std::fs::write(&path, bytes).unwrap();
        add_file(&mut changed, &path, 256 * 100).unwrap();
        assert_ne!(changed.finish(), places.finish(), "the end is one of the places");
    }

    #[test]
    fn what_changed_is_named() {
        let key = |model: &str| BTreeMap::from([("model".to_owned(), model.to_owned()), ("size".into(), "1x1".into())]);
        assert!(differences(&key("a"), &key("a")).is_empty());
        assert_eq!(differences(&key("a"), &key("b")), ["the model"]);
        assert_eq!(differences(&BTreeMap::new(), &key("b")), ["the model", "the size"]);
    }
}
