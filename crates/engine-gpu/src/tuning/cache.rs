//! What was measured, on disk: a file for each card, driver and version of the kernels.
//!
//! ```text
//! framelift gpu tuning
//! device NAME
//! driver NAME AND VERSION
//! kernels CHECKSUM OF THEIR SOURCE
//! conv 3 1 16 16 f16: 8 2 16 8
//! …
//! end CHECKSUM OF ALL BEFORE
//! ```
//! A file that is torn, or of something else, counts as none. One that cannot be written is no failure: it only makes work.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::Shape;
use crate::GpuInfo;

/// The kernels that are measured: when they change, what was measured no longer holds.
const KERNELS: &str = concat!(include_str!("../kernels/conv.rs"), include_str!("../kernels/product.rs"));

/// The longest file that is read.
const MOST_BYTES: u64 = 1 << 20;

/// The file of one card.
pub(super) struct Cache {
    file: PathBuf,
    /// What the file begins with.
    head: String,
}

impl Cache {
    pub(super) fn new(folder: &Path, device: &GpuInfo) -> Self {
        let line = |text: &str| text.replace(['\n', '\r'], " ");
        let head = format!(
            "framelift gpu tuning\ndevice {}\ndriver {} {}\nkernels {:016x}\n",
            line(&device.name),
            device.backend.name(),
            line(&device.driver),
            checksum(KERNELS)
        );
        Self { file: folder.join(format!("gpu-{:016x}", checksum(&head))), head }
    }

    /// The shape of each kind of layer.
    pub(super) fn read(&self) -> BTreeMap<String, Shape> {
        let fits = fs::metadata(&self.file).is_ok_and(|found| found.is_file() && found.len() <= MOST_BYTES);
        let text = fits.then(|| fs::read_to_string(&self.file).ok()).flatten();
        text.and_then(|text| self.parse(&text)).unwrap_or_default()
    }

    fn parse(&self, text: &str) -> Option<BTreeMap<String, Shape>> {
        let (body, end) = text.strip_suffix('\n')?.rsplit_once("\nend ")?;
        let body = &text[..body.len() + 1];
        if u64::from_str_radix(end, 16).ok()? != checksum(body) {
            return None;
        }
        let entry = |line: &str| {
            let (layer, shape) = line.rsplit_once(": ")?;
            let numbers = shape.split(' ').map(|number| number.parse().ok()).collect::<Option<Vec<usize>>>()?;
            Some((layer.to_owned(), Shape::try_from(numbers).ok()?))
        };
        body.strip_prefix(&self.head)?.lines().map(entry).collect()
    }

    /// Writes beside and renames, so that no one reads half a file.
    pub(super) fn write(&self, known: &BTreeMap<String, Shape>) {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let mut text = self.head.clone();
        // Another program on the same card may have measured other layers meanwhile.
        let mut all = self.read();
        all.extend(known.iter().map(|(layer, shape)| (layer.clone(), *shape)));
        for (layer, [columns, vectors, rows, pixels]) in &all {
            let _ = writeln!(text, "{layer}: {columns} {vectors} {rows} {pixels}");
        }
        let sum = checksum(&text);
        let _ = writeln!(text, "end {sum:016x}");
        let Some(folder) = self.file.parent() else { return };
        let beside =
            self.file.with_extension(format!("{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(&beside, text));
        if written.and_then(|()| fs::rename(&beside, &self.file)).is_err() {
            let _ = fs::remove_file(&beside);
        }
    }
}

/// FNV-1a.
fn checksum(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Where programs keep what they can make again; `None` where the system does not say.
pub(super) fn user_folder() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = if cfg!(windows) {
        set("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        set("HOME").map(|home| home.join("Library/Caches"))
    } else {
        let named = set("XDG_CACHE_HOME").filter(|path| path.is_absolute());
        named.or_else(|| Some(set("HOME")?.join(".cache")))
    };
    folder.map(|folder| folder.join("framelift"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{GpuBackend, GpuKind};

    pub(crate) fn device(name: &str) -> GpuInfo {
        GpuInfo {
            backend: GpuBackend::Vulkan,
            index: 0,
            name: name.to_owned(),
            driver: "driver 1.2".to_owned(),
            kind: GpuKind::Discrete,
            memory_bytes: None,
            free_bytes: None,
            f16: true,
            matrix_cores: false,
        }
    }

    fn known() -> BTreeMap<String, Shape> {
        [("conv 3".to_owned(), [8, 2, 16, 8]), ("conv 7: odd".to_owned(), [1, 1, 64, 4])].into()
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(&folder.path().join("new/folder"), &device("a card\nof two lines"));
        assert!(cache.read().is_empty());
        cache.write(&known());
        assert_eq!(cache.read(), known());
        cache.write(&[("conv 1".to_owned(), [2, 2, 2, 2])].into());
        assert_eq!(cache.read().len(), 3, "what others measured stays");
        let left: Vec<_> = fs::read_dir(cache.file.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "nothing lies beside");
    }

    #[test]
    fn files_are_a_cards_own() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path(), &device("card"));
        cache.write(&known());
        let newer = GpuInfo { driver: "driver 1.3".to_owned(), ..device("card") };
        let others = [device("another"), newer];
        for other in others {
            let other = Cache::new(folder.path(), &other);
            assert!(other.read().is_empty());
            // Even under its name.
            fs::copy(&cache.file, &other.file).unwrap();
            assert!(other.read().is_empty());
        }
    }

    #[test]
    fn torn_and_foreign_files_count_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path(), &device("card"));
        cache.write(&known());
        let whole = fs::read(&cache.file).unwrap();
        for length in 0..whole.len() {
            fs::write(&cache.file, &whole[..length]).unwrap();
            assert!(cache.read().is_empty(), "{length} bytes");
        }
        for at in 0..whole.len() {
            let mut wrong = whole.clone();
            wrong[at] ^= 1;
            fs::write(&cache.file, wrong).unwrap();
            assert!(cache.read().is_empty(), "byte {at}");
        }
        for foreign in [&b"\n"[..], b"\nend \n", &[0xff; 300], b"end 0\n"] {
            fs::write(&cache.file, foreign).unwrap();
            assert!(cache.read().is_empty());
        }
        // A folder in its place can be neither read nor written.
        fs::remove_file(&cache.file).unwrap();
        fs::create_dir(&cache.file).unwrap();
        cache.write(&known());
        assert!(cache.read().is_empty());
    }
}
