//! Frames in, frames out.

use framelift_frame::{Frame, Size};
use framelift_media::{Filter, Resizer};
use framelift_pipeline::{Session as NetworkSession, SessionOptions, Target, WindowOptions};

use crate::model::Kind;
use crate::{DeviceOptions, Error, Model};

/// Upscales frames held in memory, in order: for programs that have their own decoder, renderer or camera.
///
/// As many frames come out as go in, each with the time of the frame it was made from. A recurrent model gives
/// its first result after its look-ahead, a model of windows gives the results of a window together;
/// [`Session::finish`] gives what is still held. Frames belong to one shot until [`Session::cut`] is called.
///
/// ```
/// use framelift::{DeviceOptions, Frame, Model, Session, Size, TimeBase, Timestamp};
///
/// let mut session = Session::new(&Model::named("lift-x2")?, &DeviceOptions::default())?;
/// let mut results = Vec::new();
/// for n in 0..3 {
///     let frame = Frame::black(Size::new(32, 24), Timestamp::new(n, TimeBase::new(1, 25)), 1);
///     results.extend(session.push(&frame)?);
/// }
/// results.extend(session.finish()?);
/// assert_eq!(results.len(), 3);
/// assert_eq!(results[2].size(), Size::new(64, 48));
/// assert_eq!(results[2].time.ticks, 2);
/// # Ok::<(), framelift::Error>(())
/// ```
pub struct Session {
    network: Option<NetworkSession>,
    scale: u32,
    target: Option<Target>,
    filter: Filter,
    planned: bool,
    resizer: Option<Resizer>,
}

impl Session {
    /// A session of `model` on the device asked for.
    ///
    /// # Errors
    /// [`Error`] where the device cannot be used or does not hold the model.
    pub fn new(model: &Model, device: &DeviceOptions) -> Result<Self, Error> {
        let (network, filter) = match model.kind() {
            Kind::Resample(filter) => (None, *filter),
            Kind::Network(_) => {
                let memory_bytes = device.memory_limit_bytes.map(|bytes| bytes as u64);
                let options = SessionOptions { memory_bytes, ..SessionOptions::default() };
                (Some(NetworkSession::new(model.ready(device.engine()?, device)?, options)), Filter::Lanczos)
            }
        };
        Ok(Self { network, scale: model.scale(), target: None, filter, planned: false, resizer: None })
    }

    /// The size of the results; by default the input's times the model's scale.
    #[must_use]
    pub fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// The windows of a model that sees windows; before the first frame.
    #[must_use]
    pub fn windows(mut self, windows: WindowOptions) -> Self {
        self.network = self.network.map(|network| network.windows(windows));
        self
    }

    /// Takes the next frame; gives the results that are ready.
    ///
    /// # Errors
    /// [`Error`]; the session cannot be used afterwards.
    pub fn push(&mut self, frame: &Frame) -> Result<Vec<Frame>, Error> {
        if !self.planned {
            self.plan(frame.size())?;
        }
        let results = match &mut self.network {
            Some(network) => network.push(frame.clone())?,
            None => vec![frame.clone()],
        };
        self.resize(results)
    }

    /// Ends a shot: the next frame is not related to the last. Gives the results still held.
    ///
    /// # Errors
    /// [`Error`]; the session cannot be used afterwards.
    pub fn cut(&mut self) -> Result<Vec<Frame>, Error> {
        let results = match &mut self.network {
            Some(network) => network.cut()?,
            None => Vec::new(),
        };
        self.resize(results)
    }

    /// Ends the stream. Gives the results still held.
    ///
    /// # Errors
    /// [`Error`].
    pub fn finish(mut self) -> Result<Vec<Frame>, Error> {
        self.cut()
    }

    fn plan(&mut self, input: Size) -> Result<(), Error> {
        let made = Target::Scale(f64::from(self.scale)).resolve(input)?;
        let wanted = self.target.map_or(Ok(made), |target| target.resolve(input))?;
        if made != wanted {
            self.resizer = Some(Resizer::new(made, wanted, self.filter)?);
        }
        self.planned = true;
        Ok(())
    }

    fn resize(&mut self, frames: Vec<Frame>) -> Result<Vec<Frame>, Error> {
        match &mut self.resizer {
            None => Ok(frames),
            Some(resizer) => Ok(frames.iter().map(|frame| resizer.push(frame)).collect::<Result<_, _>>()?),
        }
    }
}
