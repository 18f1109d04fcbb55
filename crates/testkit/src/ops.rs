//! The golden cases of single operations, on any engine.

use framelift_engine::{ConvSpec, Engine, EngineError, HostTensor, Padding, Precision, ResizeMode, Tensor};

use crate::golden::Golden;
use crate::max_abs_diff;

/// How far an engine is from a golden operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The golden tensor that was due.
    pub case: &'static str,
    /// The largest absolute difference.
    pub max_abs: f32,
}

/// Runs every golden operation of the [`Engine`] contract in f32. (The golden deformable convolution has plain offsets
/// and masks, which only the reference takes.)
///
/// # Errors
/// Those of the engine.
///
/// # Panics
/// Where the committed vectors cannot be read.
pub fn differences(engine: &dyn Engine) -> Result<Vec<Difference>, EngineError> {
    let golden = Golden::case("ops").expect("committed vectors");
    let mut differences = convolutions(engine, &golden)?;
    differences.extend(resizes(engine, &golden)?);
    differences.extend(shuffles(engine, &golden)?);
    differences.extend(warps(engine, &golden)?);
    let pooled = engine.avg_pool(&upload(engine, &golden.map("pool.input"))?)?;
    differences.push(compare(engine, &golden, "pool.avg_2x2", &pooled)?);
    Ok(differences)
}

fn upload(engine: &dyn Engine, values: &HostTensor) -> Result<Tensor, EngineError> {
    engine.from_host(values, Precision::F32)
}

fn compare(engine: &dyn Engine, golden: &Golden, case: &'static str, got: &Tensor) -> Result<Difference, EngineError> {
    Ok(Difference { case, max_abs: max_abs_diff(&engine.to_host(got)?, &golden.map(case)) })
}

fn convolutions(engine: &dyn Engine, golden: &Golden) -> Result<Vec<Difference>, EngineError> {
    let input = upload(engine, &golden.map("conv.input"))?;
    let cases = [
        ("conv1", 1, "conv1.output"),
        ("conv3", 1, "conv3.output"),
        ("conv3", 2, "conv3.stride2"),
        ("conv7", 1, "conv7.output"),
    ];
    let run = |(name, stride, case)| {
        let weights = golden.array(&format!("{name}.weight"));
        let bias = golden.array(&format!("{name}.bias"));
        let spec = ConvSpec { stride, ..ConvSpec::new(weights.shape[2], &[weights.shape[1]], weights.shape[0]) };
        let conv = engine.prepare_conv(&spec, &weights.values, &bias.values)?;
        compare(engine, golden, case, &engine.conv(&conv, &[&input], None)?)
    };
    cases.into_iter().map(run).collect()
}

fn resizes(engine: &dyn Engine, golden: &Golden) -> Result<Vec<Difference>, EngineError> {
    let cases = [
        ("resize.input", ResizeMode::Nearest, "resize.nearest_x4"),
        ("resize.input", ResizeMode::Bilinear, "resize.bilinear_x4"),
        ("resize.input", ResizeMode::Bilinear, "resize.bilinear_32x64"),
        ("resize.input", ResizeMode::BilinearAligned, "resize.bilinear_x2_aligned"),
        ("resize.input", ResizeMode::Bicubic, "resize.bicubic_x2"),
        ("resize.input_48x64", ResizeMode::BicubicAntialias, "resize.bicubic_x0.25_antialias"),
    ];
    let run = |(input, mode, case)| {
        let input = upload(engine, &golden.map(input))?;
        let size = golden.map(case).shape();
        compare(engine, golden, case, &engine.resize(&input, size.height, size.width, mode)?)
    };
    cases.into_iter().map(run).collect()
}

fn shuffles(engine: &dyn Engine, golden: &Golden) -> Result<Vec<Difference>, EngineError> {
    let input = upload(engine, &golden.map("shuffle.input"))?;
    let large = upload(engine, &golden.map("shuffle.input_hr"))?;
    Ok(vec![
        compare(engine, golden, "shuffle.pixel_shuffle_2", &engine.pixel_shuffle(&input, 2)?)?,
        compare(engine, golden, "shuffle.pixel_shuffle_4", &engine.pixel_shuffle(&input, 4)?)?,
        compare(engine, golden, "shuffle.pixel_unshuffle_2", &engine.pixel_unshuffle(&large, 2)?)?,
    ])
}

fn warps(engine: &dyn Engine, golden: &Golden) -> Result<Vec<Difference>, EngineError> {
    let input = upload(engine, &golden.map("warp.input"))?;
    let flow = upload(engine, &golden.map_channels_last("warp.flow"))?;
    let cases = [("warp.zeros", Padding::Zeros), ("warp.border", Padding::Border)];
    let run = |(case, padding)| compare(engine, golden, case, &engine.flow_warp(&input, &flow, padding)?);
    cases.into_iter().map(run).collect()
}
