//! HDR10's static metadata in the words of encoders.
//!
//! SMPTE ST 2086 (the display a film was graded on) and CTA-861.3 (its brightest pixel and frame). Containers hold
//! them as side data; H.264, H.265 and AV1 hold them in the stream as well, which each encoder must be told in its own way.

use ffmpeg_next::ffi;

use crate::side_data::SideData;

const MASTERING: ffi::AVPacketSideDataType = ffi::AVPacketSideDataType::AV_PKT_DATA_MASTERING_DISPLAY_METADATA;
const LIGHT: ffi::AVPacketSideDataType = ffi::AVPacketSideDataType::AV_PKT_DATA_CONTENT_LIGHT_LEVEL;

/// The kinds of side data of pictures, and what they are as side data of a stream.
pub(crate) const OF_FRAMES: [(ffi::AVFrameSideDataType, ffi::AVPacketSideDataType); 2] = [
    (ffi::AVFrameSideDataType::AV_FRAME_DATA_MASTERING_DISPLAY_METADATA, MASTERING),
    (ffi::AVFrameSideDataType::AV_FRAME_DATA_CONTENT_LIGHT_LEVEL, LIGHT),
];

/// What a piece of side data says, as far as it is HDR10's.
enum Light {
    /// Green, blue, red and white as x and y; the brightest and the darkest of the display in cd/m².
    Mastering { points: [(f64, f64); 4], most: f64, least: f64 },
    /// The brightest pixel and the brightest frame on average, in cd/m².
    Content { pixel: u32, frame: u32 },
}

/// FFmpeg's `AVMasteringDisplayMetadata` in whole numbers: ten fractions of two, red, green, blue and white as x and y, then
/// the least and the greatest luminance, then whether there are primaries and luminances.
const MASTERING_NUMBERS: usize = 22;

fn read(data: &SideData) -> Option<Light> {
    let (numbers, _) = data.bytes.as_chunks::<4>();
    if data.kind == LIGHT {
        let &[pixel, frame, ..] = numbers else { return None };
        return Some(Light::Content { pixel: u32::from_ne_bytes(pixel), frame: u32::from_ne_bytes(frame) });
    }
    if data.kind != MASTERING || numbers.len() < MASTERING_NUMBERS {
        return None;
    }
    let number = |at: usize| i32::from_ne_bytes(numbers[at]);
    // Encoders write all or nothing.
    if number(20) == 0 || number(21) == 0 {
        return None;
    }
    let value = |fraction: usize| f64::from(number(2 * fraction)) / f64::from(number(2 * fraction + 1).max(1));
    let point = |at: usize| (value(2 * at), value(2 * at + 1));
    Some(Light::Mastering { points: [point(1), point(2), point(0), point(3)], most: value(9), least: value(8) })
}

/// The option of an encoder, and its value, that writes `pieces` into the stream; `None` where it has none or there is
/// nothing to write.
pub(crate) fn encoder_option(encoder: &str, pieces: &[SideData]) -> Option<(&'static str, String)> {
    let (option, mastering, content) = match encoder {
        "libx264" | "libx264rgb" => ("x264-params", "mastering-display", "cll"),
        "libx265" => ("x265-params", "master-display", "max-cll"),
        "libsvtav1" => ("svtav1-params", "mastering-display", "content-light"),
        _ => return None,
    };
    let mut words: Vec<_> = pieces
        .iter()
        .filter_map(read)
        .map(|light| match light {
            Light::Content { pixel, frame } => format!("{content}={pixel},{frame}"),
            Light::Mastering { points, most, least } if encoder == "libsvtav1" => {
                let [g, b, r, wp] = points.map(|(x, y)| format!("({x:.5},{y:.5})"));
                format!("{mastering}=G{g}B{b}R{r}WP{wp}L({most:.4},{least:.4})")
            }
            Light::Mastering { points, most, least } => {
                // In steps of 0.00002, and of 0.0001 cd/m².
                let [g, b, r, wp] = points.map(|(x, y)| format!("({:.0},{:.0})", x * 50_000.0, y * 50_000.0));
                format!("{mastering}=G{g}B{b}R{r}WP{wp}L({:.0},{:.0})", most * 10_000.0, least * 10_000.0)
            }
        })
        .collect();
    // Containers give the pieces in orders of their own: the display comes first.
    words.sort_by_key(|words| !words.starts_with(mastering));
    (!words.is_empty()).then(|| (option, words.join(":")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces() -> [SideData; 2] {
        let fractions = [
            (17, 25),
            (8, 25),
            (53, 200),
            (69, 100),
            (3, 20),
            (3, 50),
            (3127, 10_000),
            (329, 1000),
            (1, 200),
            (1000, 1),
        ];
        let numbers = fractions.into_iter().flat_map(|(num, den)| [num, den]).chain([1, 1]);
        let bytes = numbers.flat_map(i32::to_ne_bytes).collect();
        let content = [1000u32, 400].iter().flat_map(|word| word.to_ne_bytes()).collect();
        [SideData { kind: MASTERING, bytes }, SideData { kind: LIGHT, bytes: content }]
    }

    #[test]
    fn each_encoder_is_told_in_its_own_words() {
        let (option, value) = encoder_option("libx265", &pieces()).unwrap();
        assert_eq!(option, "x265-params");
        assert_eq!(
            value,
            "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1000,400"
        );
        let (_, value) = encoder_option("libsvtav1", &pieces()).unwrap();
        assert!(value.contains("R(0.68000,0.32000)") && value.contains("L(1000.0000,0.0050)"), "{value}");
        assert!(encoder_option("ffv1", &pieces()).is_none());
        assert!(encoder_option("libx264", &[]).is_none());
    }

    #[test]
    fn short_or_empty_pieces_say_nothing() {
        for kind in [MASTERING, LIGHT] {
            assert!(read(&SideData { kind, bytes: vec![1; 3] }).is_none());
        }
        let empty = SideData { kind: MASTERING, bytes: vec![0; 4 * MASTERING_NUMBERS] };
        assert!(encoder_option("libx264", &[empty]).is_none());
    }
}
