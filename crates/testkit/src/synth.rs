//! Synthetic checkpoints: every weight follows from its tensor's name, so that none need be stored.
//!
//! The state is the FNV-1a-64 hash of the name; `u` runs through the outputs of SplitMix64 from it, mapped to [−1, 1).
//! Weights of rank 2 and above are `u · gain · √(3 / fan_in)`, biases `0.02 u`, PReLU slopes `0.25 + 0.1 u`.

use std::collections::BTreeMap;

use safetensors::{Dtype, tensor::TensorView};

use crate::golden::Array;

/// The tensor `name` of `shape`, with the gain that the golden vectors were made with.
#[must_use]
pub fn tensor(name: &str, shape: &[usize]) -> Array {
    if let Some(values) = spynet_statistics(name) {
        return Array { shape: shape.to_vec(), values };
    }
    tensor_with_gain(name, shape, gain(name))
}

/// The tensor `name` of `shape`, weights of rank 2 and above scaled by `gain`.
#[must_use]
pub fn tensor_with_gain(name: &str, shape: &[usize], gain: f64) -> Array {
    let count: usize = shape.iter().product();
    let fan_in: usize = shape.iter().skip(1).product();
    let scale = gain * (3.0 / fan_in as f64).sqrt();
    let value = |u: f64| match shape.len() {
        2.. => u * scale,
        _ if name.ends_with("bias") => u * 0.02,
        _ => 0.25 + 0.1 * u,
    };
    let values = uniform(name).take(count).map(|u| value(u) as f32).collect();
    Array { shape: shape.to_vec(), values }
}

/// The gain of the golden vectors for the weight `name`.
#[must_use]
pub fn gain(name: &str) -> f64 {
    let spynet = name.contains("spynet");
    if spynet && name.ends_with(".4.conv.weight") {
        0.25
    } else if spynet {
        1.2
    } else if name.ends_with("conv_offset.6.weight") {
        2.0
    } else if name.ends_with("conv2.weight") {
        0.3
    } else if ["rdb1.conv", "rdb2.conv", "rdb3.conv"].iter().any(|part| name.contains(part)) {
        0.7
    } else {
        1.0
    }
}

/// Mean and deviation of ImageNet's colours, which SPyNet keeps beside its weights.
fn spynet_statistics(name: &str) -> Option<Vec<f32>> {
    match name.rsplit_once("spynet.").map_or(name, |(_, rest)| rest) {
        "mean" => Some(vec![0.485, 0.456, 0.406]),
        "std" => Some(vec![0.229, 0.224, 0.225]),
        _ => None,
    }
}

/// Numbers in [−1, 1), steps of 2⁻²³, that follow from `name`.
pub fn uniform(name: &str) -> impl Iterator<Item = f64> {
    let hash = |state: u64, byte: u8| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    let mut state = name.bytes().fold(0xCBF2_9CE4_8422_2325, hash);
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 40) as f64 / (1 << 23) as f64 - 1.0
    })
}

/// The tensors of an SRVGGNetCompact with PReLU: `convs` convolutions between the first and the last.
#[must_use]
pub fn compact(features: usize, convs: usize, scale: usize) -> BTreeMap<String, Array> {
    let mut shapes = vec![("body.0.weight".to_owned(), vec![features, 3, 3, 3])];
    for i in 0..convs {
        shapes.push((format!("body.{}.weight", 2 * i + 2), vec![features, features, 3, 3]));
    }
    for i in 0..=convs {
        shapes.push((format!("body.{}.bias", 2 * i), vec![features]));
        shapes.push((format!("body.{}.weight", 2 * i + 1), vec![features]));
    }
    let last = 2 * convs + 2;
    shapes.push((format!("body.{last}.weight"), vec![3 * scale * scale, features, 3, 3]));
    shapes.push((format!("body.{last}.bias"), vec![3 * scale * scale]));
    named(shapes)
}

/// The tensors of a lift network: `blocks` residual blocks of `channels`.
#[must_use]
pub fn lift(channels: usize, blocks: usize, scale: usize) -> BTreeMap<String, Array> {
    lift_with("conv_in", channels, blocks, scale)
}

/// The tensors of a lift network along motion: `blocks` residual blocks of `channels`.
#[must_use]
pub fn lift_along_motion(channels: usize, blocks: usize, scale: usize) -> BTreeMap<String, Array> {
    lift_with("conv_aligned", channels, blocks, scale)
}

fn lift_with(first: &str, channels: usize, blocks: usize, scale: usize) -> BTreeMap<String, Array> {
    let mut shapes = Shapes::default();
    shapes.conv(first, 3, 9 + channels, channels);
    for block in 0..blocks {
        shapes.conv(&format!("body.{block}.0"), 3, channels, channels);
        shapes.conv(&format!("body.{block}.1"), 3, channels, channels);
    }
    shapes.conv("conv_out", 3, channels, 3 * scale * scale);
    named(shapes.0)
}

/// Names and shapes of tensors.
#[derive(Default)]
struct Shapes(Vec<(String, Vec<usize>)>);

impl Shapes {
    fn conv(&mut self, name: &str, kernel: usize, ins: usize, out: usize) {
        self.0.push((format!("{name}.weight"), vec![out, ins, kernel, kernel]));
        self.0.push((format!("{name}.bias"), vec![out]));
    }

    /// A convolution and residual blocks, as mmagic's `ResidualBlocksWithInputConv`.
    fn residual_blocks(&mut self, name: &str, ins: usize, channels: usize, blocks: usize) {
        self.conv(&format!("{name}.main.0"), 3, ins, channels);
        for block in 0..blocks {
            self.conv(&format!("{name}.main.2.{block}.conv1"), 3, channels, channels);
            self.conv(&format!("{name}.main.2.{block}.conv2"), 3, channels, channels);
        }
    }

    fn spynet(&mut self, prefix: &str) {
        for statistic in ["mean", "std"] {
            self.0.push((format!("{prefix}{statistic}"), vec![1, 3, 1, 1]));
        }
        for level in 0..6 {
            for (i, (ins, out)) in [(8, 32), (32, 64), (64, 32), (32, 16), (16, 2)].into_iter().enumerate() {
                self.conv(&format!("{prefix}basic_module.{level}.basic_module.{i}.conv"), 7, ins, out);
            }
        }
    }

    /// Two pixel shuffles, and the convolutions to a picture.
    fn upsampler(&mut self, prefix: &str, channels: usize) {
        self.conv(&format!("{prefix}upsample1.upsample_conv"), 3, channels, 4 * channels);
        self.conv(&format!("{prefix}upsample2.upsample_conv"), 3, channels, 4 * 64);
        self.conv(&format!("{prefix}conv_hr"), 3, 64, 64);
        self.conv(&format!("{prefix}conv_last"), 3, 64, 3);
    }

    fn basicvsr(&mut self, prefix: &str, channels: usize, blocks: usize) {
        self.spynet(&format!("{prefix}spynet."));
        for branch in ["backward_resblocks", "forward_resblocks"] {
            self.residual_blocks(&format!("{prefix}{branch}"), channels + 3, channels, blocks);
        }
        self.conv(&format!("{prefix}fusion"), 1, 2 * channels, channels);
        self.upsampler(prefix, channels);
    }
}

/// The tensors of a SPyNet by itself.
#[must_use]
pub fn spynet() -> BTreeMap<String, Array> {
    let mut shapes = Shapes::default();
    shapes.spynet("");
    named(shapes.0)
}

/// The tensors of a BasicVSR of `channels`, `blocks` residual blocks a branch, under mmagic's names.
#[must_use]
pub fn basicvsr(channels: usize, blocks: usize) -> BTreeMap<String, Array> {
    let mut shapes = Shapes::default();
    shapes.basicvsr("", channels, blocks);
    named(shapes.0)
}

/// The tensors of a BasicVSR++ of `channels`, `blocks` residual blocks a branch, under mmagic's names; `same_size` for
/// the variant whose output has the input's size.
#[must_use]
pub fn basicvsr_plusplus(channels: usize, blocks: usize, same_size: bool) -> BTreeMap<String, Array> {
    let mut shapes = Shapes::default();
    shapes.spynet("spynet.");
    if same_size {
        shapes.conv("feat_extract.0", 3, 3, channels);
        shapes.conv("feat_extract.2", 3, channels, channels);
        shapes.residual_blocks("feat_extract.4", channels, channels, 5);
    } else {
        shapes.residual_blocks("feat_extract", 3, channels, 5);
    }
    for (i, branch) in ["backward_1", "forward_1", "backward_2", "forward_2"].into_iter().enumerate() {
        let align = format!("deform_align.{branch}");
        shapes.conv(&align, 3, 2 * channels, channels);
        shapes.conv(&format!("{align}.conv_offset.0"), 3, 3 * channels + 4, channels);
        shapes.conv(&format!("{align}.conv_offset.2"), 3, channels, channels);
        shapes.conv(&format!("{align}.conv_offset.4"), 3, channels, channels);
        shapes.conv(&format!("{align}.conv_offset.6"), 3, channels, 27 * 16);
        shapes.residual_blocks(&format!("backbone.{branch}"), (2 + i) * channels, channels, blocks);
    }
    shapes.residual_blocks("reconstruction", 5 * channels, channels, 5);
    shapes.upsampler("", channels);
    named(shapes.0)
}

/// The tensors of a RealBasicVSR of `channels`: `blocks` residual blocks a branch, `cleaning_blocks` before.
#[must_use]
pub fn realbasicvsr(channels: usize, blocks: usize, cleaning_blocks: usize) -> BTreeMap<String, Array> {
    let mut shapes = Shapes::default();
    shapes.residual_blocks("image_cleaning.0", 3, channels, cleaning_blocks);
    shapes.conv("image_cleaning.1", 3, channels, 3);
    shapes.basicvsr("basicvsr.", channels, blocks);
    named(shapes.0)
}

/// The tensors of an RRDBNet of scale 1, 2 or 4 under the names of BasicSR 1.4.
#[must_use]
pub fn rrdbnet(features: usize, growth: usize, blocks: usize, scale: usize) -> BTreeMap<String, Array> {
    let mut shapes = Shapes::default();
    let unshuffle = 4 / scale;
    shapes.conv("conv_first", 3, 3 * unshuffle * unshuffle, features);
    for block in 0..blocks {
        for dense in 1..=3 {
            for conv in 1..=5 {
                let out = if conv == 5 { features } else { growth };
                shapes.conv(&format!("body.{block}.rdb{dense}.conv{conv}"), 3, features + (conv - 1) * growth, out);
            }
        }
    }
    for name in ["conv_body", "conv_up1", "conv_up2", "conv_hr"] {
        shapes.conv(name, 3, features, features);
    }
    shapes.conv("conv_last", 3, features, 3);
    named(shapes.0)
}

/// The same tensors, each renamed by `rename`.
#[must_use]
pub fn renamed(arrays: &BTreeMap<String, Array>, rename: impl Fn(&str) -> String) -> BTreeMap<String, Array> {
    arrays.iter().map(|(name, array)| (rename(name), array.clone())).collect()
}

fn named(shapes: Vec<(String, Vec<usize>)>) -> BTreeMap<String, Array> {
    shapes.into_iter().map(|(name, shape)| (name.clone(), tensor(&name, &shape))).collect()
}

/// The bytes of a safetensors file of `arrays`, f32.
///
/// # Panics
/// Where a shape does not match its values.
#[must_use]
pub fn to_safetensors(arrays: &BTreeMap<String, Array>) -> Vec<u8> {
    let bytes = |array: &Array| array.values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let stored: Vec<(&String, &Array, Vec<u8>)> = arrays.iter().map(|(n, a)| (n, a, bytes(a))).collect();
    let views = stored.iter().map(|(name, array, bytes)| {
        let view = TensorView::new(Dtype::F32, array.shape.clone(), bytes).expect("values that fill their shape");
        (name.as_str(), view)
    });
    safetensors::serialize(views, None).expect("tensors that serialize")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_splitmix64_of_the_fnv_hash() {
        // FNV-1a-64 of the empty string is its offset basis; the first output of SplitMix64 from there by hand.
        let mut z: u64 = 0xCBF2_9CE4_8422_2325_u64.wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        let first = uniform("").next().unwrap();
        assert_eq!(first, (z >> 40) as f64 / 8_388_608.0 - 1.0);
        assert!(uniform("body.0.weight").take(1000).all(|u| (-1.0..1.0).contains(&u)));
    }

    #[test]
    fn gains_follow_the_first_rule_that_matches() {
        assert_eq!(gain("spynet.basic_module.0.basic_module.4.conv.weight"), 0.25);
        assert_eq!(gain("spynet.basic_module.0.basic_module.1.conv.weight"), 1.2);
        assert_eq!(gain("deform_align.backward_1.conv_offset.6.weight"), 2.0);
        assert_eq!(gain("body.0.rdb1.conv2.weight"), 0.3);
        assert_eq!(gain("body.0.rdb1.conv1.weight"), 0.7);
        assert_eq!(gain("body.0.weight"), 1.0);
    }
}
