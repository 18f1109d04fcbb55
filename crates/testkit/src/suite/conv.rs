//! Convolutions.

use framelift_engine::{
    Activation, Addend, ConvSpec, Engine, EngineError, HostTensor, Precision, Shape, Upsample, reference,
};
use proptest::prelude::*;
use proptest::sample::select;

use super::{Checked, assert_close, noise, noise_tensor};

/// A convolution with everything that it works on.
#[derive(Clone, Debug)]
pub struct ConvCase {
    /// The convolution.
    pub spec: ConvSpec,
    /// Rows of the inputs.
    pub height: usize,
    /// Columns of the inputs.
    pub width: usize,
    /// How an addend comes to the output's size, if there is one.
    pub addend: Option<Upsample>,
    /// How inputs and addend are stored.
    pub stored: Precision,
}

impl ConvCase {
    /// A plain convolution in f32.
    #[must_use]
    pub fn new(kernel: usize, in_channels: &[usize], out_channels: usize, height: usize, width: usize) -> Self {
        let spec = ConvSpec::new(kernel, in_channels, out_channels);
        Self { spec, height, width, addend: None, stored: Precision::F32 }
    }

    /// With inputs, addend and products in `precision`, and results in `output`.
    #[must_use]
    pub fn precision(self, precision: Precision, output: Precision) -> Self {
        Self { spec: self.spec.precision(precision, output), stored: precision, ..self }
    }

    /// Followed by `activation`.
    #[must_use]
    pub fn activation(self, activation: Activation) -> Self {
        Self { spec: self.spec.activation(activation), ..self }
    }

    /// With a pixel shuffle by `factor`, and an addend that comes to its size by `upsample`.
    #[must_use]
    pub fn shuffle(self, factor: usize, upsample: Upsample) -> Self {
        Self { spec: self.spec.pixel_shuffle(factor), addend: Some(upsample), ..self }
    }

    fn weights(&self) -> Vec<f32> {
        let mut next = noise(1);
        let gain = 1.0 / (self.spec.weight_len() as f32 / self.spec.out_channels as f32).sqrt();
        (0..self.spec.weight_len()).map(|_| next() * gain).collect()
    }

    fn bias(&self) -> Vec<f32> {
        let mut next = noise(2);
        (0..self.spec.out_channels).map(|_| next()).collect()
    }

    fn inputs(&self) -> Vec<HostTensor> {
        let shape = |&channels| Shape::new(self.height, self.width, channels);
        let tensor = |(i, channels)| reference::rounded(noise_tensor(shape(channels), 3 + i as u64), self.stored);
        self.spec.in_channels.iter().enumerate().map(tensor).collect()
    }

    fn output_shape(&self) -> Shape {
        let ConvSpec { stride, pixel_shuffle: r, out_channels, .. } = self.spec;
        Shape::new(self.height.div_ceil(stride) * r, self.width.div_ceil(stride) * r, out_channels / (r * r))
    }

    /// A third of the output's size where that is possible, else the size of the sums.
    fn addend(&self) -> Option<(HostTensor, Upsample)> {
        let upsample = self.addend?;
        let Shape { height, width, channels, .. } = self.output_shape();
        let thirds = height.is_multiple_of(3) && width.is_multiple_of(3);
        let factor = match upsample {
            Upsample::None => 1,
            _ if thirds => 3,
            _ => self.spec.pixel_shuffle,
        };
        let tensor = noise_tensor(Shape::new(height / factor, width / factor, channels), 99);
        Some((reference::rounded(tensor, self.stored), upsample))
    }

    /// What `engine` makes of it.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn run(&self, engine: &dyn Engine) -> Result<HostTensor, EngineError> {
        let conv = engine.prepare_conv(&self.spec, &self.weights(), &self.bias())?;
        let upload = |values: &HostTensor| engine.from_host(values, self.stored);
        let inputs = self.inputs().iter().map(upload).collect::<Result<Vec<_>, _>>()?;
        let addend = self.addend().map(|(values, upsample)| Ok::<_, EngineError>((upload(&values)?, upsample)));
        let addend = addend.transpose()?;
        let addend = addend.as_ref().map(|(tensor, upsample)| Addend { tensor, upsample: *upsample });
        engine.to_host(&engine.conv(&conv, &inputs.iter().collect::<Vec<_>>(), addend)?)
    }

    /// What the reference makes of it: not rounded, so that a result may be compared with both neighbours in the output's
    /// precision.
    ///
    /// # Panics
    /// Where the case is none.
    #[must_use]
    pub fn expected(&self) -> HostTensor {
        let (inputs, addend) = (self.inputs(), self.addend());
        let inputs: Vec<&HostTensor> = inputs.iter().collect();
        let spec = ConvSpec { output: Precision::F32, ..self.spec.clone() };
        let addend = addend.as_ref().map(|(tensor, upsample)| (tensor, *upsample));
        reference::conv(&spec, &self.weights(), &self.bias(), &inputs, addend).expect("a case is well formed")
    }

    /// Holds every engine to the reference.
    ///
    /// # Panics
    /// Where one is too far off.
    pub fn check(&self, engines: &[Checked<'_>]) {
        let expected = self.expected();
        // Inputs are below one: no sum has larger terms than the weights.
        let terms = self.spec.weight_len() as f32 / self.spec.out_channels as f32;
        let magnitude = (4.0 + terms.sqrt()) * self.spec.scale.abs().max(1.0);
        for Checked { engine, tolerance } in engines {
            let got = self.run(*engine).unwrap_or_else(|error| panic!("{self:?}: {error}"));
            let what = (self, &engine.info().detail);
            assert_close(&what, &got, &expected, tolerance * magnitude, self.spec.output);
        }
    }
}

/// Convolutions of every kind, stored and computed in `precisions`, of up to `side` rows and columns.
pub fn conv_cases(precisions: &'static [Precision], side: usize) -> impl Strategy<Value = ConvCase> {
    let channels = || select(vec![1_usize, 2, 3, 4, 5, 9, 16, 17, 32, 40]);
    let inputs = prop::collection::vec(channels(), 1..4);
    let shape = (select(vec![1_usize, 3, 7]), 1..=2_usize, inputs, 1..=3_usize, channels(), 1..side, 1..side);
    let activation = prop_oneof![
        Just(Activation::None),
        Just(Activation::Relu),
        Just(Activation::Leaky(0.2)),
        Just(Activation::Prelu(Vec::new())),
    ];
    let addend = select(vec![None, Some(Upsample::None), Some(Upsample::Nearest), Some(Upsample::Bilinear)]);
    let precision = move || select(precisions);
    let after = (activation, select(vec![1.0_f32, 0.2]), addend, precision(), precision(), precision());
    (shape, after).prop_map(|((kernel, stride, inputs, r, out, height, width), after)| {
        let (activation, scale, addend, stored, precision, output) = after;
        let out_channels = (out * r * r).min(r * r * 20);
        let activation = match activation {
            Activation::Prelu(_) => Activation::Prelu((0..out_channels).map(|i| 0.1 - i as f32 / 50.0).collect()),
            other => other,
        };
        let spec = ConvSpec::new(kernel, &inputs, out_channels);
        let spec = spec.activation(activation).pixel_shuffle(r).precision(precision, output);
        ConvCase { spec: ConvSpec { stride, scale, ..spec }, height, width, addend, stored }
    })
}
