//! `framelift measure`.

use framelift::quality::{CompareError, Comparison, Film, Report, Scores};
use framelift::{Deinterlace, ErrorKind, ReadOptions};
use serde_json::{Value, json};

use crate::Failure;
use crate::args::Measure;
use crate::report::out;

pub(crate) fn measure(args: &Measure) -> Result<(), Failure> {
    let read = ReadOptions { deinterlace: Deinterlace::Off, ..ReadOptions::default() };
    let mut reference = Film::open(&args.reference, &read)?;
    let mut output = Film::open(&args.output, &read)?;
    let comparison = Comparison { crop_px: args.crop, skip: args.skip };
    let report = comparison.run(&mut reference, &mut output).map_err(failure)?;
    if args.json {
        out(&format!("{:#}", as_json(args, &report)));
    } else {
        describe(&report).iter().for_each(|line| out(line));
    }
    Ok(())
}

fn failure(error: CompareError) -> Failure {
    match error {
        CompareError::Media(error) => error.into(),
        CompareError::Crop { .. } | CompareError::Nothing { .. } => {
            Failure::Command(ErrorKind::Usage, error.to_string())
        }
        _ => Failure::Command(ErrorKind::Input, error.to_string()),
    }
}

fn describe(report: &Report) -> Vec<String> {
    let row = |name: &str, s: &Scores| {
        format!("{name:>8}  {:9.4}  {:8.6}  {:9.4}  {:8.6}", s.psnr_rgb, s.ssim_rgb, s.psnr_y, s.ssim_y)
    };
    let heading = format!("{:>8}  {:>9}  {:>8}  {:>9}  {:>8}", "frame", "PSNR RGB", "SSIM RGB", "PSNR Y", "SSIM Y");
    let frames = report.frames.iter().map(|frame| row(&frame.number.to_string(), &frame.scores));
    std::iter::once(heading).chain(frames).chain([row("mean", &report.mean)]).collect()
}

fn as_json(args: &Measure, report: &Report) -> Value {
    let scores =
        |s: &Scores| json!({"psnr_rgb": s.psnr_rgb, "ssim_rgb": s.ssim_rgb, "psnr_y": s.psnr_y, "ssim_y": s.ssim_y});
    let frame = |frame: &framelift::quality::FrameScores| {
        let mut value = scores(&frame.scores);
        value["frame"] = json!(frame.number);
        value["time_s"] = json!(frame.time.seconds());
        value
    };
    json!({
        "reference": args.reference,
        "output": args.output,
        "crop_px": args.crop,
        "skip": args.skip,
        "frames": report.frames.iter().map(frame).collect::<Vec<_>>(),
        "mean": scores(&report.mean),
    })
}
