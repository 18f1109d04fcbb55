//! Checkpoint files: read, recognised, and made ready on the reference engine.

use std::sync::Arc;

use framelift::Precision;
use framelift::engine::reference::ReferenceEngine;
use framelift_nets::{Checkpoint, detect};

/// Reads a file as a checkpoint; of one that is whole, prepares the network.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(checkpoint) = Checkpoint::from_bytes("fuzzed", bytes) else { return };
    let values: usize = checkpoint.tensors().values().map(|weight| weight.values().len()).sum();
    // A value takes at least a byte in any file, unless the file is packed: deflate packs a thousand to one at most.
    assert!(values <= 1100 * bytes.len(), "{values} values from {} bytes", bytes.len());
    if let Ok(detected) = detect(&checkpoint) {
        let d = detected.descriptor();
        assert!(d.scale >= 1 && d.parameters as usize <= values, "{d:?}");
        let _ = detected.prepare(Arc::new(ReferenceEngine::new()), Precision::F32);
    }
}
