//! `.safetensors` files.

use std::collections::BTreeMap;

use ::safetensors::{Dtype as Stored, SafeTensors};

use super::weight::{Dtype, Weight};
use super::{Fault, Tensors};

/// Most bytes of a header, as in the format's own reader.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// Whether `file` begins as such a file: the length of the header, then its brace.
pub(super) fn recognise(file: &[u8]) -> bool {
    match file {
        [a, b, c, d, e, f, g, h, b'{', ..] => u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]) <= MAX_HEADER_BYTES,
        _ => false,
    }
}

/// Tensors and metadata.
pub(super) fn read(file: &[u8]) -> Result<(Tensors, BTreeMap<String, String>), Fault> {
    let damaged = |e: ::safetensors::SafeTensorError| Fault::Damaged(e.to_string());
    let (_, header) = SafeTensors::read_metadata(file).map_err(damaged)?;
    let metadata = header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    let views = SafeTensors::deserialize(file).map_err(damaged)?;

    let names = views.names();
    let prefix = super::prefix(names.iter().copied());
    let mut tensors = Tensors::new();
    for (name, view) in views.iter() {
        let Some(short) = name.strip_prefix(prefix) else { continue };
        let dtype = match view.dtype() {
            Stored::F64 => Dtype::F64,
            Stored::F32 => Dtype::F32,
            Stored::F16 => Dtype::F16,
            Stored::BF16 => Dtype::Bf16,
            Stored::I64 => Dtype::I64,
            Stored::I32 => Dtype::I32,
            Stored::I16 => Dtype::I16,
            Stored::I8 => Dtype::I8,
            Stored::U8 | Stored::BOOL => Dtype::U8,
            other => return Err(Fault::Unsupported(format!("`{name}` is of type {other:?}"))),
        };
        let weight = Weight::new(view.shape().to_vec(), dtype.decode(view.data()));
        let weight = weight.ok_or_else(|| Fault::Damaged(format!("`{name}` has too few values")))?;
        tensors.insert(short.to_owned(), weight);
    }
    Ok((tensors, metadata))
}
