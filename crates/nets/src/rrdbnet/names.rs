//! What the tensors of RRDBNet are called: BasicSR and mmagic have one set of names, ESRGAN had two before.

use crate::Checkpoint;
use crate::reader::Reader;

/// A set of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `conv_first`, `body.0.rdb1.conv1`, …: BasicSR 1.x, mmagic, Real-ESRGAN.
    BasicSr,
    /// `conv_first`, `RRDB_trunk.0.RDB1.conv1`, …: ESRGAN of 2020.
    Trunk,
    /// `model.0`, `model.1.sub.0.RDB1.conv1.0`, …: ESRGAN of 2018 and the many trainings of it.
    Sequential,
}

impl Dialect {
    /// The names of `checkpoint`; none where it is of another network.
    pub(super) fn of(checkpoint: &Checkpoint) -> Option<Self> {
        [Self::BasicSr, Self::Trunk, Self::Sequential]
            .into_iter()
            .find(|dialect| checkpoint.get(&format!("{}.weight", dialect.dense(0, 1, 1))).is_some())
    }

    /// Blocks in the network.
    pub(super) fn blocks(self, reader: &Reader<'_>) -> usize {
        match self {
            Self::BasicSr => reader.count("body."),
            Self::Trunk => reader.count("RRDB_trunk."),
            // The convolution after the blocks is numbered among them.
            Self::Sequential => reader.count("model.1.sub.").saturating_sub(1),
        }
    }

    /// Convolution `conv`, from 1, of dense block `dense`, from 1, of block `block`, from 0.
    pub(super) fn dense(self, block: usize, dense: usize, conv: usize) -> String {
        match self {
            Self::BasicSr => format!("body.{block}.rdb{dense}.conv{conv}"),
            Self::Trunk => format!("RRDB_trunk.{block}.RDB{dense}.conv{conv}"),
            Self::Sequential => format!("model.1.sub.{block}.RDB{dense}.conv{conv}.0"),
        }
    }

    /// The first convolution.
    pub(super) fn first(self) -> &'static str {
        match self {
            Self::BasicSr | Self::Trunk => "conv_first",
            Self::Sequential => "model.0",
        }
    }

    /// The convolution after the blocks, of which there are `blocks`.
    pub(super) fn after(self, blocks: usize) -> String {
        match self {
            Self::BasicSr => "conv_body".into(),
            Self::Trunk => "trunk_conv".into(),
            Self::Sequential => format!("model.1.sub.{blocks}"),
        }
    }

    /// The convolution after the doubling `place`, 1 or 2.
    pub(super) fn up(self, place: usize) -> &'static str {
        match (self, place) {
            (Self::BasicSr, 1) => "conv_up1",
            (Self::BasicSr, _) => "conv_up2",
            (Self::Trunk, 1) => "upconv1",
            (Self::Trunk, _) => "upconv2",
            (Self::Sequential, 1) => "model.3",
            (Self::Sequential, _) => "model.6",
        }
    }

    /// The last convolution but one.
    pub(super) fn hr(self) -> &'static str {
        match self {
            Self::BasicSr => "conv_hr",
            Self::Trunk => "HRconv",
            Self::Sequential => "model.8",
        }
    }

    /// The last convolution.
    pub(super) fn last(self) -> &'static str {
        match self {
            Self::BasicSr | Self::Trunk => "conv_last",
            Self::Sequential => "model.10",
        }
    }
}
