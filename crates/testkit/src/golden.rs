//! Golden vectors: safetensors files of named f32 tensors, `[t, c, h, w]`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use framelift_engine::{HostTensor, Shape};
use safetensors::{Dtype, SafeTensors};

use crate::test_data;

/// A tensor as a file holds it: row-major, of any rank.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Its dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Its values.
    pub values: Vec<f32>,
}

/// The tensors of one file of golden vectors.
#[derive(Clone, Debug)]
pub struct Golden {
    arrays: BTreeMap<String, Array>,
}

/// The folder of the vectors that the repository holds.
fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

impl Golden {
    /// The case `name`: from the repository, else from `FRAMELIFT_TEST_DATA`; `None`, said aloud, where that is unset.
    ///
    /// # Panics
    /// Where the file cannot be read.
    #[must_use]
    pub fn case(name: &str) -> Option<Self> {
        let file = format!("{name}.safetensors");
        let own = committed().join(&file);
        if own.is_file() {
            return Some(Self::open(&own));
        }
        Some(Self::open(&test_data()?.join("golden").join(&file)))
    }

    /// The tensors of the safetensors file at `path`, all f32.
    ///
    /// # Panics
    /// Where the file cannot be read or holds another type.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let file = SafeTensors::deserialize(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let arrays = file.iter().map(|(name, view)| {
            assert_eq!(view.dtype(), Dtype::F32, "{name} in {}", path.display());
            let (values, rest) = view.data().as_chunks::<4>();
            assert!(rest.is_empty(), "{name} in {}", path.display());
            let values = values.iter().map(|v| f32::from_le_bytes(*v)).collect();
            (name.to_owned(), Array { shape: view.shape().to_vec(), values })
        });
        Self { arrays: arrays.collect() }
    }

    /// The tensor `name` as it is stored.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn array(&self, name: &str) -> &Array {
        self.arrays.get(name).unwrap_or_else(|| panic!("no golden tensor {name}"))
    }

    /// The `[t, c, h, w]` tensor `name` as `t` feature maps.
    ///
    /// # Panics
    /// Where there is none of that rank.
    #[must_use]
    pub fn frames(&self, name: &str) -> Vec<HostTensor> {
        let Array { shape, values } = self.array(name);
        let &[_, channels, height, width] = shape.as_slice() else {
            panic!("{name} has shape {shape:?}, not [t, c, h, w]");
        };
        let shape = Shape::new(height, width, channels);
        let frames = values.chunks_exact(shape.len());
        frames.map(|planar| HostTensor::from_planar(shape, planar).expect("chunks of one frame")).collect()
    }

    /// The `[1, c, h, w]` tensor `name` as a feature map.
    ///
    /// # Panics
    /// Where there is none of that shape.
    #[must_use]
    pub fn map(&self, name: &str) -> HostTensor {
        let frames = self.frames(name);
        assert_eq!(frames.len(), 1, "{name} holds several maps");
        frames.into_iter().next().expect("one map")
    }

    /// The `[1, h, w, c]` tensor `name`, stored channels last, as a feature map.
    ///
    /// # Panics
    /// Where there is none of that shape.
    #[must_use]
    pub fn map_channels_last(&self, name: &str) -> HostTensor {
        let Array { shape, values } = self.array(name);
        let &[1, height, width, channels] = shape.as_slice() else {
            panic!("{name} has shape {shape:?}, not [1, h, w, c]");
        };
        HostTensor::new(Shape::new(height, width, channels), values.clone()).expect("a whole tensor")
    }
}
