//! A picture between decode and encode.

use crate::{Size, Timestamp};

/// One channel of a picture: rows of 16-bit samples without gaps, 0 (none) to 65535 (full).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plane {
    size: Size,
    samples: Vec<u16>,
}

impl Plane {
    /// A plane of `samples`, row by row.
    ///
    /// Returns `None` if their count is not `size.width * size.height`.
    #[must_use]
    pub fn new(size: Size, samples: Vec<u16>) -> Option<Self> {
        (samples.len() as u64 == size.pixels()).then_some(Self { size, samples })
    }

    /// A plane with every sample at `value`.
    #[must_use]
    pub fn filled(size: Size, value: u16) -> Self {
        Self { size, samples: vec![value; size.width as usize * size.height as usize] }
    }

    /// Width and height.
    #[must_use]
    pub fn size(&self) -> Size {
        self.size
    }

    /// All samples, row by row.
    #[must_use]
    pub fn samples(&self) -> &[u16] {
        &self.samples
    }

    /// All samples, row by row, to write to.
    #[must_use]
    pub fn samples_mut(&mut self) -> &mut [u16] {
        &mut self.samples
    }

    /// The samples of row `y`. Panics if there is no such row.
    #[must_use]
    pub fn row(&self, y: usize) -> &[u16] {
        let width = self.size.width as usize;
        &self.samples[y * width..(y + 1) * width]
    }
}

/// What belongs to a picture and no network sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// How opaque each pixel is, 0 (not at all) to 65535, at the size of the film's own picture.
    pub alpha: Option<Plane>,
    /// Captions that come with the picture: `cc_data` of ATSC A/53 part 4, three bytes each. Empty where there are none.
    pub captions: Vec<u8>,
}

impl Beside {
    fn bytes(&self) -> usize {
        self.captions.len() + self.alpha.as_ref().map_or(0, |plane| size_of_val(plane.samples()))
    }
}

/// A full-range RGB picture, planar, 16 bits a sample, with its place in time.
///
/// This is what decoding and colour conversion give and what networks take and return. Samples are in
/// the stream's own transfer (gamma, PQ, HLG), never linearised: that is what the networks were trained on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Red, green, blue; all of one size.
    planes: [Plane; 3],
    /// What goes beside the colours, past the network.
    pub beside: Beside,
    /// When the frame is shown, in the time base of its stream.
    pub time: Timestamp,
    /// How long it is shown, in ticks of the same base; 0 where the film does not say.
    pub duration_ticks: i64,
}

impl Frame {
    /// A frame of three planes; `None` unless all have one size.
    #[must_use]
    pub fn new(planes: [Plane; 3], time: Timestamp, duration_ticks: i64) -> Option<Self> {
        let size = planes[0].size();
        planes.iter().all(|p| p.size() == size).then_some(Self {
            planes,
            beside: Beside::default(),
            time,
            duration_ticks,
        })
    }

    /// A black frame.
    #[must_use]
    pub fn black(size: Size, time: Timestamp, duration_ticks: i64) -> Self {
        let planes = std::array::from_fn(|_| Plane::filled(size, 0));
        Self { planes, beside: Beside::default(), time, duration_ticks }
    }

    /// Width and height.
    #[must_use]
    pub fn size(&self) -> Size {
        self.planes[0].size()
    }

    /// Red, green and blue.
    #[must_use]
    pub fn planes(&self) -> &[Plane; 3] {
        &self.planes
    }

    /// Red, green and blue, to write to. Their sizes must stay equal.
    #[must_use]
    pub fn planes_mut(&mut self) -> &mut [Plane; 3] {
        &mut self.planes
    }

    /// Bytes of sample memory held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.planes.iter().map(|p| size_of_val(p.samples())).sum::<usize>() + self.beside.bytes()
    }
}
