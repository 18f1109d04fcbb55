//! SRVGGNetCompact: plain 3×3 convolutions at the input's size, then a pixel shuffle (Wang et al. 2021, Real-ESRGAN;
//! BasicSR 1.4, `basicsr/archs/srvgg_arch.py`).
//!
//! ```text
//! f = act(body.0(x))                         3×3, 3 → features
//! for i in 1..=convs:  f = act(body.2i(f))   3×3, features → features
//! y = pixel_shuffle(body.last(f), s) + nearest(x, s)     3×3, features → 3·s²
//! ```
//! RGB in [0, 1], `h × w × 3`, to `s·h × s·w × 3`, not clamped. The activations are `body.{1, 3, …}`: with PReLU they
//! have a slope a channel; ReLU and LeakyReLU (0.1) leave no tensor.

use std::sync::Arc;

use framelift_engine::{Activation, Addend, Conv, ConvSpec, Engine, EngineError, Precision, Tensor, Upsample};

use crate::network::{FrameShot, OneFrame};
use crate::reader::{ConvWeights, Reader, counted};
use crate::registry::{Detected, Weights};
use crate::{Checkpoint, Descriptor, ModelError, Network, Reach, Shot, Values, known};

const NAME: &str = "SRVGGNetCompact";
/// Slope of BasicSR's LeakyReLU below zero.
const LEAKY_SLOPE: f32 = 0.1;

/// Whether the names of the tensors are this network's.
pub(crate) fn recognise(checkpoint: &Checkpoint) -> bool {
    let numbered = |name: &String| name.strip_prefix("body.").is_some_and(|rest| rest.starts_with(char::is_numeric));
    let first = checkpoint.get("body.0.weight");
    first.is_some_and(|weight| weight.shape().len() == 4) && checkpoint.tensors().keys().all(numbered)
}

/// Reads the weights and all numbers of the network.
pub(crate) fn read(checkpoint: &Checkpoint) -> Result<Detected, ModelError> {
    let variant = |what: String| ModelError::Variant { file: checkpoint.name().into(), architecture: NAME, what };
    // Convolutions stand at even places, so their number tells the last one's.
    let all = checkpoint.tensors().values().filter(|weight| weight.shape().len() == 4).count();
    let last = 2 * all.saturating_sub(1);
    let shape = |place: usize| checkpoint.get(&format!("body.{place}.weight")).map(|weight| weight.shape().to_vec());
    let (Some(&[features, 3, 3, 3]), Some(&[out, _, 3, 3]), 2..) = (shape(0).as_deref(), shape(last).as_deref(), all)
    else {
        return Err(variant("it does not go from three channels to pixels by 3×3 convolutions".into()));
    };
    let scale = (out / 3).isqrt();
    if features == 0 || scale == 0 || scale * scale * 3 != out {
        return Err(variant(format!("{out} channels at the end are no pixels of three channels")));
    }

    let mut reader = Reader::new(checkpoint, NAME);
    let unsloped = if checkpoint.get("body.1.weight").is_some() { None } else { Some(activation_of(checkpoint)?) };
    let mut convs = Vec::with_capacity(all);
    for place in (0..=last).step_by(2) {
        let (ins, outs) = (if place == 0 { 3 } else { features }, if place == last { out } else { features });
        let weights = reader.conv(&format!("body.{place}"), 3, ins, outs);
        let activation = match &unsloped {
            _ if place == last => Activation::None,
            Some(activation) => activation.clone(),
            None => Activation::Prelu(reader.tensor(format!("body.{}.weight", place + 1), &[features])),
        };
        convs.push((weights, activation));
    }
    let parameters = reader.finish()?;

    let (f, values) = (features as u64, out as u64);
    let middle = all as u64 - 2;
    let (purpose, licence) = known::purpose_and_licence(checkpoint, "whatever its checkpoint was trained for");
    let descriptor = Descriptor {
        architecture: NAME,
        variant: format!("{}, {}", counted(features, "feature"), counted(all - 2, "convolution")),
        scale: scale as u32,
        reach: Reach::Frame,
        size_multiple: 1,
        min_side_px: 1,
        parameters,
        macs_per_pixel: 9 * (3 * f + middle * f * f + f * values),
        // Two feature maps, or one and the output.
        phases: vec![
            Values::features(2 * f) + Values::pictures(1),
            Values::features(f) + Values::pictures(1 + values / 3),
        ],
        together: Vec::new(),
        upsampling: None,
        held: Values::default(),
        stored_values_per_pixel: 0,
        precisions: &[Precision::F32, Precision::Bf16, Precision::F16],
        purpose,
        licence,
    };
    Ok(Detected::new(descriptor, CompactWeights { convs, scale }))
}

/// The activation that a checkpoint without slopes names in its metadata.
fn activation_of(checkpoint: &Checkpoint) -> Result<Activation, ModelError> {
    match checkpoint.metadata().get("act_type").map(String::as_str) {
        Some("relu") => Ok(Activation::Relu),
        Some("leakyrelu") => Ok(Activation::Leaky(LEAKY_SLOPE)),
        _ => Err(ModelError::Variant {
            file: checkpoint.name().into(),
            architecture: NAME,
            what: "it has no PReLU slopes, and ReLU and LeakyReLU look the same in the weights; save it as \
                   .safetensors with `act_type` relu or leakyrelu in the metadata"
                .into(),
        }),
    }
}

struct CompactWeights {
    /// From first to last, each with what follows it.
    convs: Vec<(ConvWeights, Activation)>,
    scale: usize,
}

impl Weights for CompactWeights {
    fn prepare(
        &self,
        descriptor: &Descriptor,
        engine: Arc<dyn Engine>,
        precision: Precision,
    ) -> Result<Arc<dyn Network>, EngineError> {
        let last = self.convs.len() - 1;
        let prepare = |(i, (conv, activation)): (usize, &(ConvWeights, Activation))| {
            let out = conv.bias.len();
            let ins = conv.weights.len() / (9 * out);
            let spec = ConvSpec::new(3, &[ins], out).activation(activation.clone());
            let spec = if i == last {
                spec.pixel_shuffle(self.scale).precision(precision, Precision::F32)
            } else {
                spec.precision(precision, precision)
            };
            engine.prepare_conv(&spec, &conv.weights, &conv.bias)
        };
        let convs = self.convs.iter().enumerate().map(prepare).collect::<Result<_, _>>()?;
        Ok(Arc::new(Compact { descriptor: descriptor.clone(), engine, convs }))
    }
}

/// The network on an engine.
struct Compact {
    descriptor: Descriptor,
    engine: Arc<dyn Engine>,
    convs: Vec<Conv>,
}

impl OneFrame for Compact {
    fn upscale(&self, frame: &Tensor) -> Result<Tensor, EngineError> {
        let base = Addend { tensor: frame, upsample: Upsample::Nearest };
        let mut features = frame.clone();
        for (i, conv) in self.convs.iter().enumerate() {
            let addend = (i + 1 == self.convs.len()).then_some(base);
            features = self.engine.conv(conv, &[&features], addend)?;
        }
        Ok(features)
    }
}

impl Network for Compact {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn begin(self: Arc<Self>) -> Box<dyn Shot> {
        Box::new(FrameShot(self))
    }
}
