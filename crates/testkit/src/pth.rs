//! `.pth` files as `torch.save` writes them, in both forms, and the pieces to write broken ones from.

use std::collections::BTreeMap;

use half::{bf16, f16};

use crate::golden::Array;

/// The type that values are stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Double precision.
    F64,
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// bfloat16.
    Bf16,
}

impl Stored {
    fn class(self) -> &'static str {
        match self {
            Self::F64 => "DoubleStorage",
            Self::F32 => "FloatStorage",
            Self::F16 => "HalfStorage",
            Self::Bf16 => "BFloat16Storage",
        }
    }

    fn encode(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::F64 => values.iter().flat_map(|&v| f64::from(v).to_le_bytes()).collect(),
            Self::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::F16 => values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect(),
            Self::Bf16 => values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect(),
        }
    }
}

/// A pickle of protocol 2 in the making.
#[derive(Clone, Debug)]
pub struct Pickle(Vec<u8>);

impl Pickle {
    /// An empty program.
    #[must_use]
    pub fn new() -> Self {
        Self(vec![0x80, 2])
    }

    /// Opcodes without arguments, and any other bytes.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Pushes a text.
    #[must_use]
    pub fn text(self, text: &str) -> Self {
        self.raw(b"X").raw(&(text.len() as u32).to_le_bytes()).raw(text.as_bytes())
    }

    /// Pushes a number.
    #[must_use]
    pub fn int(self, value: usize) -> Self {
        self.raw(&[0x8a, 8]).raw(&value.to_le_bytes())
    }

    /// Pushes a tuple of numbers.
    #[must_use]
    pub fn ints(self, values: &[usize]) -> Self {
        values.iter().fold(self.raw(b"("), |pickle, &value| pickle.int(value)).raw(b"t")
    }

    /// Pushes a class.
    #[must_use]
    pub fn class(self, module: &str, name: &str) -> Self {
        self.raw(format!("c{module}\n{name}\n").as_bytes())
    }

    /// Pushes a tensor of `shape` and `strides` from `offset` of a storage of `len` values.
    #[must_use]
    pub fn tensor(self, stored: Stored, key: &str, len: usize, view: (usize, &[usize], &[usize])) -> Self {
        let (offset, shape, strides) = view;
        self.class("torch._utils", "_rebuild_tensor_v2")
            .raw(b"((")
            .text("storage")
            .class("torch", stored.class())
            .text(key)
            .text("cpu")
            .int(len)
            .raw(b"tQ")
            .int(offset)
            .ints(shape)
            .ints(strides)
            .raw(b"\x89")
            .class("collections", "OrderedDict")
            .raw(b")RtR")
    }

    /// The program with its end.
    #[must_use]
    pub fn end(mut self) -> Vec<u8> {
        self.0.push(b'.');
        self.0
    }
}

impl Default for Pickle {
    fn default() -> Self {
        Self::new()
    }
}

/// Strides of a tensor without gaps.
#[must_use]
pub fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i];
    }
    strides
}

/// Named dictionaries of tensors; the name `""` stands for the tensors themselves, without a dictionary around.
pub type Dicts<'a> = [(&'a str, &'a BTreeMap<String, Array>)];

/// The pickled object, and the bytes of the storages `0`, `1`, … in order.
fn pickled(dicts: &Dicts<'_>, stored: Stored) -> (Vec<u8>, Vec<(usize, Vec<u8>)>) {
    let mut storages = Vec::new();
    let mut pickle = Pickle::new().raw(b"}");
    for (name, arrays) in dicts {
        if !name.is_empty() {
            pickle = pickle.text(name).class("collections", "OrderedDict").raw(b")R");
        }
        for (tensor, Array { shape, values }) in *arrays {
            let key = storages.len().to_string();
            let view = (0, shape.as_slice(), &row_major(shape)[..]);
            pickle = pickle.text(tensor).tensor(stored, &key, values.len(), view).raw(b"s");
            storages.push((values.len(), stored.encode(values)));
        }
        if !name.is_empty() {
            pickle = pickle.raw(b"s");
        }
    }
    (pickle.end(), storages)
}

/// A checkpoint in the zip form.
#[must_use]
pub fn to_zip(dicts: &Dicts<'_>, stored: Stored) -> Vec<u8> {
    to_zip_packed(dicts, stored, Packing::Stored)
}

/// A checkpoint in the zip form, packed otherwise than `torch.save` does it.
#[must_use]
pub fn to_zip_packed(dicts: &Dicts<'_>, stored: Stored, packing: Packing) -> Vec<u8> {
    let (pickle, storages) = pickled(dicts, stored);
    let mut entries = vec![
        ("archive/data.pkl".to_owned(), pickle),
        ("archive/byteorder".to_owned(), b"little".to_vec()),
        ("archive/version".to_owned(), b"3\n".to_vec()),
    ];
    for (i, (_, bytes)) in storages.into_iter().enumerate() {
        entries.push((format!("archive/data/{i}"), bytes));
    }
    zip_packed(&entries, packing)
}

/// A checkpoint in the form before PyTorch 1.6.
#[must_use]
pub fn to_legacy(dicts: &Dicts<'_>, stored: Stored) -> Vec<u8> {
    let (pickle, storages) = pickled(dicts, stored);
    let magic = Pickle::new().raw(b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19");
    let mut file = magic.end();
    file.extend(Pickle::new().raw(b"M\xe9\x03").end());
    file.extend(Pickle::new().raw(b"}").text("little_endian").raw(b"\x88s").end());
    file.extend(pickle);
    let keys = (0..storages.len()).fold(Pickle::new().raw(b"]("), |keys, i| keys.text(&i.to_string()));
    file.extend(keys.raw(b"e").end());
    for (count, bytes) in storages {
        file.extend((count as u64).to_le_bytes());
        file.extend(bytes);
    }
    file
}

/// How a zip archive holds its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// As they are.
    Stored,
    /// In blocks of deflate that do not compress.
    Deflated,
    /// As they are, with all sizes and offsets in 64 bits.
    Zip64,
}

/// A zip archive of stored entries, their check sums left out.
#[must_use]
pub fn zip(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    zip_packed(entries, Packing::Stored)
}

/// A zip archive, its check sums left out.
#[must_use]
pub fn zip_packed(entries: &[(String, Vec<u8>)], packing: Packing) -> Vec<u8> {
    let (method, wide) = (if packing == Packing::Deflated { 8_u16 } else { 0 }, packing == Packing::Zip64);
    let mut file = Vec::new();
    let mut directory = Vec::new();
    for (name, data) in entries {
        let packed = if packing == Packing::Deflated { deflate_blocks(data) } else { data.clone() };
        let offset = file.len();
        let narrow = |value: usize| if wide { u32::MAX } else { value as u32 }.to_le_bytes();
        // Version, flags, method, time, date, check sum.
        let mut common = vec![20, 0, 0, 0];
        common.extend(method.to_le_bytes());
        common.extend([0; 8]);
        common.extend(narrow(packed.len()));
        common.extend(narrow(data.len()));
        common.extend((name.len() as u16).to_le_bytes());
        // A foreign field comes first, as readers must pass over what they do not know.
        let mut extra = Vec::new();
        if wide {
            extra.extend([0x42, 0x46, 2, 0, 7, 7, 1, 0, 24, 0]);
            for value in [data.len(), packed.len(), offset] {
                extra.extend((value as u64).to_le_bytes());
            }
        }

        file.extend(b"PK\x03\x04");
        file.extend(&common);
        file.extend([0; 2]);
        file.extend(name.as_bytes());
        file.extend(packed);

        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend((extra.len() as u16).to_le_bytes());
        directory.extend([0; 10]);
        directory.extend(narrow(offset));
        directory.extend(name.as_bytes());
        directory.extend(extra);
    }
    let start = file.len() as u32;
    file.extend(&directory);
    if wide {
        let end_at = file.len() as u64;
        file.extend(b"PK\x06\x06");
        file.extend(44_u64.to_le_bytes());
        file.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        for value in [entries.len(), entries.len(), directory.len(), start as usize] {
            file.extend((value as u64).to_le_bytes());
        }
        file.extend(b"PK\x06\x07\0\0\0\0");
        file.extend(end_at.to_le_bytes());
        file.extend(1_u32.to_le_bytes());
        file.extend(b"PK\x05\x06\0\0\0\0");
        file.extend([0xFF; 12]);
        file.extend([0; 2]);
        return file;
    }
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend((entries.len() as u16).to_le_bytes());
    file.extend((entries.len() as u16).to_le_bytes());
    file.extend((directory.len() as u32).to_le_bytes());
    file.extend(start.to_le_bytes());
    file.extend([0; 2]);
    file
}

/// A stream of deflate blocks that hold `data` as it is (RFC 1951, section 3.2.4).
fn deflate_blocks(data: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    for block in data.chunks(usize::from(u16::MAX)) {
        let length = block.len() as u16;
        stream.push(0);
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(block);
    }
    // The last block, empty.
    stream.extend([1, 0, 0, 0xFF, 0xFF]);
    stream
}
