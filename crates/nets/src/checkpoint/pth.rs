//! `.pth` files: what `torch.save` writes, as a zip archive or in the form before PyTorch 1.6.
//!
//! A zip archive holds `NAME/data.pkl`, the pickled object, and a file `NAME/data/KEY` for each storage. The older
//! form is a sequence: five pickles (a magic number, the protocol, facts about the system, the object, the keys of
//! the storages), then for each key the number of values and the values.

use std::collections::{BTreeMap, HashMap};

use super::bytes::Bytes;
use super::pickle::{self, Pickled, Storage, Value};
use super::weight::{View, Weight};
use super::{Fault, zip};

/// How a file of the older form begins: a pickle of the magic number `0x1950a86a20f9469cfc6c`.
pub(super) const LEGACY_MAGIC: [u8; 15] =
    [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.'];

/// The protocol of the older form.
const LEGACY_PROTOCOL: i128 = 1001;

/// Where dictionaries of tensors are found in the pickled object, best first: averaged weights before the others.
const STATE_DICTS: [&str; 3] = ["params_ema", "params", "state_dict"];

/// How many times its own size a file's tensors may be: weights may share a storage, and may be packed.
const MAX_GROWTH: usize = 4;

/// The tensors of a zip archive.
pub(super) fn read_zip(file: &[u8]) -> Result<BTreeMap<String, Weight>, Fault> {
    let entries = zip::entries(file)?;
    let program = entries.iter().find(|(name, _)| folder_of(name, "data.pkl").is_some());
    let Some((name, program)) = program else {
        return Err(Fault::NotACheckpoint("it is a zip archive without PyTorch's data.pkl".into()));
    };
    let folder = folder_of(name, "data.pkl").unwrap_or_default();
    if entries.contains_key(format!("{folder}constants.pkl").as_str()) {
        return Err(Fault::Unsupported("it is a TorchScript program, not weights".into()));
    }
    if entries.get(format!("{folder}byteorder").as_str()).is_some_and(|order| **order != *b"little") {
        return Err(Fault::Unsupported("its values are big-endian".into()));
    }
    let pickled = pickle::run(program)?;
    tensors(file.len(), &pickled, |key| entries.get(format!("{folder}data/{key}").as_str()).map(AsRef::as_ref))
}

/// The folder, with its slash, of a path that ends in `file` and is at most one folder deep.
fn folder_of<'a>(path: &'a str, file: &str) -> Option<&'a str> {
    let folder = path.strip_suffix(file)?;
    let is_folder = folder.is_empty() || folder.ends_with('/') && folder.matches('/').count() == 1;
    is_folder.then_some(folder)
}

/// The tensors of a file of the older form.
pub(super) fn read_legacy(file: &[u8]) -> Result<BTreeMap<String, Weight>, Fault> {
    let mut rest = Bytes::new(file, "the file");
    let mut next = || -> Result<Pickled<'_>, Fault> {
        let pickled = pickle::run(&file[rest.position()..])?;
        rest.skip(pickled.length)?;
        Ok(pickled)
    };
    let (_magic, protocol, system, object, keys) = (next()?, next()?, next()?, next()?, next()?);
    if !matches!(protocol.root(), Value::Int(LEGACY_PROTOCOL)) {
        return Err(Fault::Unsupported("it is of an unknown protocol of PyTorch".into()));
    }
    let little = |(name, value): (&str, &Value<'_>)| name == "little_endian" && matches!(value, Value::Bool(true));
    if !system.entries(system.root()).any(little) {
        return Err(Fault::Unsupported("its values are big-endian".into()));
    }

    let value_bytes: HashMap<&str, usize> = object
        .values()
        .filter_map(|value| match value {
            Value::Storage(storage) => Some((storage.key, storage.dtype.bytes())),
            _ => None,
        })
        .collect();
    let mut storages = HashMap::new();
    let Value::List(keys_in_order) = keys.root() else {
        return Err(Fault::damaged("the list of its storages is missing"));
    };
    for &key in keys_in_order {
        let known = match keys.value(key) {
            Value::Text(key) => value_bytes.get_key_value(key),
            _ => None,
        };
        let (&key, &bytes) = known.ok_or_else(|| Fault::damaged("it has a storage that no tensor uses"))?;
        let count = rest.length()?;
        // A product too large to count is too large for the file.
        storages.insert(key, rest.take(count.saturating_mul(bytes))?);
    }
    tensors(file.len(), &object, |key| storages.get(key).copied())
}

/// The tensors of the dictionary that counts, whose storages `storage` finds.
fn tensors<'a>(
    file_bytes: usize,
    pickled: &Pickled<'_>,
    storage: impl Fn(&str) -> Option<&'a [u8]>,
) -> Result<BTreeMap<String, Weight>, Fault> {
    let named = state_dict(pickled)?;
    let prefix = super::prefix(named.keys().copied());

    let mut budget_bytes = file_bytes.saturating_mul(MAX_GROWTH);
    let mut weights = BTreeMap::new();
    for (name, (part, view)) in named {
        let Some(short) = name.strip_prefix(prefix) else { continue };
        let Some(bytes) = storage(part.key) else {
            return Err(Fault::Damaged(format!("the values of `{name}` are missing")));
        };
        let Some(bytes) = part.len.checked_mul(part.dtype.bytes()).and_then(|length| bytes.get(..length)) else {
            return Err(Fault::Damaged(format!(
                "`{name}` wants {} values of {} bytes from a storage of {} bytes",
                part.len,
                part.dtype.bytes(),
                bytes.len()
            )));
        };
        let wanted_bytes = view.checked_count(part.len, name)? * part.dtype.bytes();
        let left = budget_bytes.checked_sub(wanted_bytes);
        budget_bytes = left.ok_or_else(|| Fault::damaged("its tensors are larger than the file"))?;
        weights.insert(short.to_owned(), view.read(bytes, part.dtype, name)?);
    }
    Ok(weights)
}

/// Tensors by name, not yet read.
type Named<'p, 'a> = BTreeMap<&'a str, (Storage<'a>, &'p View)>;

/// The dictionary of tensors that counts.
fn state_dict<'p, 'a>(pickled: &'p Pickled<'a>) -> Result<Named<'p, 'a>, Fault> {
    let tensors_of = |dict: &'p Value<'a>| -> Named<'p, 'a> {
        let tensor = |(name, value): (&'a str, &'p Value<'a>)| match value {
            Value::Tensor { storage, view } => Some((name, (*storage, view))),
            _ => None,
        };
        pickled.entries(dict).filter_map(tensor).collect()
    };
    let root = pickled.root();
    for key in STATE_DICTS {
        let inner = pickled.entries(root).filter(|(name, _)| *name == key).last();
        let tensors = inner.map(|(_, dict)| tensors_of(dict)).unwrap_or_default();
        if !tensors.is_empty() {
            return Ok(tensors);
        }
    }
    let tensors = tensors_of(root);
    if !tensors.is_empty() {
        return Ok(tensors);
    }
    let keys: Vec<&str> = pickled.entries(root).map(|(name, _)| name).take(8).collect();
    Err(Fault::NotACheckpoint(if keys.is_empty() {
        "it holds no dictionary of tensors".into()
    } else {
        format!("it holds no tensors where they are expected; it holds {}", keys.join(", "))
    }))
}
