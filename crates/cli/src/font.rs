//! Capital letters, digits and a little punctuation as strokes, so that text can be drawn at any size.

/// From the left edge of a glyph to that of the next, in grid units.
const ADVANCE: f32 = 5.6;

/// Height of a capital in grid units.
const HEIGHT: f32 = 6.0;

/// Polylines on a grid of 4 columns and 6 rows, row 0 on top. A point is two digits, column and row; a space
/// begins the next polyline.
fn strokes(letter: char) -> &'static str {
    match letter {
        'A' => "062046 1434",
        'B' => "06003041423303 3344453606",
        'C' => "4130100105163645",
        'D' => "00062644422000",
        'E' => "40000646 0333",
        'F' => "400006 0333",
        'G' => "41301001051636454323",
        'H' => "0006 4046 0343",
        'I' => "1030 2026 1636",
        'J' => "4045361605",
        'K' => "0006 400346",
        'L' => "000646",
        'M' => "0600234046",
        'N' => "06004640",
        'O' => "103041453616050110",
        'P' => "06003041423303",
        'Q' => "103041453616050110 2446",
        'R' => "06003041423303 2346",
        'S' => "413010010213334445361605",
        'T' => "0040 2026",
        'U' => "000516364540",
        'V' => "002640",
        'W' => "0016233640",
        'X' => "0046 4006",
        'Y' => "002340 2326",
        'Z' => "00400646",
        '0' => "103041453616050110 4105",
        '1' => "112026 1636",
        '2' => "01103041420646",
        '3' => "004022334445361605",
        '4' => "36300444",
        '5' => "4000023243453606",
        '6' => "402002051636454433 3303",
        '7' => "004016",
        '8' => "13020110304142331304051636454433",
        '9' => "06264441301001021343",
        '.' => "2526",
        ',' => "2517",
        '-' => "1333",
        ':' => "2122 2425",
        '/' => "0640",
        '_' => "0646",
        '+' => "1333 2224",
        '(' => "20111526",
        ')' => "10212516",
        _ => "",
    }
}

/// A line of text as line segments, ready to be asked how far a point is from them.
pub(crate) struct Text {
    /// The segments of each glyph: from x, from y, to x, to y, in units of the capital height.
    glyphs: Vec<Vec<[f32; 4]>>,
}

impl Text {
    pub(crate) fn new(text: &str) -> Self {
        let glyph = |(i, letter): (usize, char)| {
            let left = i as f32 * ADVANCE;
            let mut segments = Vec::new();
            for polyline in strokes(letter).split(' ') {
                let digits: Vec<f32> = polyline.bytes().map(|b| f32::from(b - b'0')).collect();
                let points: Vec<[f32; 2]> =
                    digits.chunks_exact(2).map(|p| [(left + p[0]) / HEIGHT, p[1] / HEIGHT]).collect();
                segments.extend(points.windows(2).map(|p| [p[0][0], p[0][1], p[1][0], p[1][1]]));
            }
            segments
        };
        Self { glyphs: text.chars().enumerate().map(glyph).collect() }
    }

    /// How much ink there is at the point of a text of `height_px`, 0 to 1: strokes of an eighth of the height, with soft edges.
    pub(crate) fn coverage(&self, x_px: f32, y_px: f32, height_px: f32) -> f32 {
        let distance_px = self.distance(x_px / height_px, y_px / height_px) * height_px;
        (height_px / 16.0 + 0.5 - distance_px).clamp(0.0, 1.0)
    }

    /// Width in units of the capital height.
    pub(crate) fn width(&self) -> f32 {
        self.glyphs.len() as f32 * ADVANCE / HEIGHT
    }

    /// Distance from the point to the nearest stroke, in units of the capital height; far away, some larger number.
    ///
    /// The upper left corner of the first letter is the origin.
    pub(crate) fn distance(&self, x: f32, y: f32) -> f32 {
        const FAR: f32 = 0.25;
        if !(-FAR..=1.0 + FAR).contains(&y) || !(-FAR..=self.width()).contains(&x) {
            return 2.0 * FAR;
        }
        let cell = (x * HEIGHT / ADVANCE) as usize;
        let near = cell.saturating_sub(1)..(cell + 2).min(self.glyphs.len());
        let nearest = self.glyphs[near].iter().flatten().map(|s| to_segment(x, y, s)).fold(f32::MAX, f32::min);
        nearest.min(2.0 * FAR)
    }
}

fn to_segment(x: f32, y: f32, &[x0, y0, x1, y1]: &[f32; 4]) -> f32 {
    let (dx, dy) = (x1 - x0, y1 - y0);
    let length2 = dx * dx + dy * dy;
    let t = if length2 > 0.0 { (((x - x0) * dx + (y - y0) * dy) / length2).clamp(0.0, 1.0) } else { 0.0 };
    (x - x0 - t * dx).hypot(y - y0 - t * dy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_polyline_has_whole_points_on_the_grid() {
        for letter in ('A'..='Z').chain('0'..='9').chain(".,-:/_+()".chars()) {
            assert!(!strokes(letter).is_empty(), "{letter}");
            for polyline in strokes(letter).split(' ') {
                assert!(polyline.len() >= 4 && polyline.len() % 2 == 0, "{letter}: {polyline}");
                for point in polyline.as_bytes().chunks(2) {
                    assert!((b'0'..=b'4').contains(&point[0]) && (b'0'..=b'7').contains(&point[1]), "{letter}");
                }
            }
        }
    }

    #[test]
    fn distance_is_zero_on_a_stroke() {
        let text = Text::new("L");
        assert_eq!(text.distance(0.0, 0.5), 0.0);
        assert!(text.distance(0.3, 0.3) > 0.2);
    }
}
