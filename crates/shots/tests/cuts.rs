//! Cuts are found in a film whose cuts are known; fades and flashes are none.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod film;

use framelift_frame::Frame;
use framelift_shots::CutDetector;

/// The frames that begin shots, but for the first.
fn cuts(film: &film::Film) -> Vec<usize> {
    let mut detector = CutDetector::new(film::SIZE);
    let mut given: Vec<(Frame, bool)> = Vec::new();
    let mut begins = Vec::new();
    for (n, picture) in film.pictures.iter().enumerate() {
        given.extend(detector.push(film::frame(picture, n)));
        begins.extend(given.drain(..).map(|(_, begins)| begins));
    }
    begins.extend(detector.finish().into_iter().map(|(_, begins)| begins));
    assert_eq!(begins.len(), film.pictures.len(), "frames in = frames out");
    assert!(begins[0], "the first frame begins a shot");
    (1..begins.len()).filter(|n| begins[*n]).collect()
}

#[test]
fn cuts_of_an_assembled_film() {
    let Some(data) = framelift_testkit::test_data() else { return };
    let film = film::assemble(&film::stretches(&data), 1);
    assert_eq!((film.cuts.len(), film.fades.len(), film.flashes.len()), (200, 20, 20));
    let found = cuts(&film);
    let (right, wrong): (Vec<usize>, Vec<usize>) = found.iter().partition(|n| film.cuts.contains(n));
    let recall = right.len() as f64 / film.cuts.len() as f64;
    let precision = right.len() as f64 / found.len() as f64;
    eprintln!("{} frames: recall {recall:.4}, precision {precision:.4}", film.pictures.len());
    let within =
        |n: &usize, parts: &[std::ops::Range<usize>]| parts.iter().any(|part| (part.start..=part.end).contains(n));
    for n in &wrong {
        let what = if within(n, &film.fades) {
            "a fade"
        } else if within(n, &film.flashes) {
            "a flash"
        } else {
            "a shot"
        };
        eprintln!("  frame {n} is no cut but lies in {what} ({})", film.names[*n]);
    }
    for n in film.cuts.iter().filter(|n| !right.contains(n)) {
        eprintln!("  the cut at frame {n} was missed ({} to {})", film.names[n - 1], film.names[*n]);
    }
    assert!(recall >= 0.98, "recall {recall}");
    assert!(precision >= 0.97, "precision {precision}");
}
