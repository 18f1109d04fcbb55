//! Many films, one after another: what is taken, where each goes, what is done already, and the run over all.

mod clock;
mod collect;
mod existing;
mod pictures;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use framelift_media::{MediaError, Output};
use framelift_pipeline::{CancelToken, Event, PipelineError, Summary};

pub use collect::output_beside;
pub use existing::Existing;
pub(crate) use existing::{Due, existing};

use crate::{Error, ErrorKind, Survey, Upscaler};
use clock::Clock;

/// Where the results of a batch go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Into a folder, in the same folders and under the same names as the films.
    Folder(PathBuf),
    /// Beside each film, as `film.LABEL.mkv`.
    Beside {
        /// What results are called by, such as the model's name.
        label: String,
    },
}

/// A film of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchFilm {
    /// What is read: a file, a URL or an image pattern.
    pub input: String,
    /// What is written.
    pub output: String,
}

/// A file of a folder that is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    pub why: WhyLeftOut,
}

/// Why a file of a folder is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhyLeftOut {
    /// Its extension is not that of a film.
    NoFilm,
    /// A picture that is not one of a numbered sequence.
    SinglePicture,
    /// Its name is not UTF-8.
    Name,
    /// What the system said.
    Unreadable(String),
}

impl std::fmt::Display for WhyLeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoFilm => f.write_str("not a film by its extension"),
            Self::SinglePicture => f.write_str("a picture by itself, not one of a numbered sequence"),
            Self::Name => f.write_str("its name is not UTF-8"),
            Self::Unreadable(what) => write!(f, "it cannot be read: {what}"),
        }
    }
}

/// Why there is no batch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// Nothing that was named holds a film.
    #[error(
        "there is no film in {inputs} ({left_out} files are none by their extensions); a file that is named by itself is taken whatever it is called"
    )]
    NoFilms {
        /// What was named.
        inputs: String,
        /// Files that are no films.
        left_out: usize,
    },
    /// A pipe cannot be one of many.
    #[error("standard input cannot be one of several inputs; upscale it by itself")]
    Stdin,
    /// A folder, and no place for its results.
    #[error("{} is a folder; name one for the results with --output", folder.display())]
    FolderWithoutPlace {
        /// The folder.
        folder: PathBuf,
    },
    /// Results would lie among the films.
    #[error("{} holds the films; name another folder for the results", folder.display())]
    SameFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// A folder's results cannot go into a file.
    #[error("{} is the name of one film, and several are to be made; name a folder with --output", file.display())]
    FileForFolder {
        /// The file named.
        file: PathBuf,
    },
    /// The input's name says nothing that a result could be called by.
    #[error("no name for the output can be made from {input}; give one with --output")]
    NoName {
        /// The input.
        input: String,
    },
}

impl BatchError {
    pub(crate) const fn kind(&self) -> ErrorKind {
        match self {
            Self::NoFilms { .. } => ErrorKind::Input,
            Self::Stdin
            | Self::FolderWithoutPlace { .. }
            | Self::SameFolder { .. }
            | Self::FileForFolder { .. }
            | Self::NoName { .. } => ErrorKind::Usage,
        }
    }
}

/// What a batch tells while it works.
#[derive(Debug)]
#[non_exhaustive]
pub enum BatchEvent<'a> {
    /// All films were looked at.
    Surveyed {
        /// Films whose results are there and whole.
        done: usize,
        /// Films to work on.
        due: usize,
        /// Frames to be made, as far as every film says.
        frames: Option<u64>,
    },
    /// The work on a film begins.
    Began {
        /// Its place in the batch.
        index: usize,
    },
    /// What a film's run tells.
    Film {
        /// Its place in the batch.
        index: usize,
        /// What it tells.
        event: &'a Event,
        /// The share of the whole batch that is done, 0 to 1, where known; told with [`Event::Progress`].
        share: Option<f64>,
        /// Time left for the whole batch, where known; told with [`Event::Progress`].
        left: Option<Duration>,
    },
    /// The work on a film ended.
    Ended {
        /// Its place in the batch.
        index: usize,
        /// How.
        outcome: &'a Outcome,
    },
}

/// How a film of a batch ended.
#[derive(Debug)]
pub enum Outcome {
    /// It was made.
    Made(Summary),
    /// Its result was there and whole.
    Skipped,
    /// It failed.
    Failed(Error),
    /// The batch was stopped while it was worked on, or before.
    Stopped,
}

/// A film of a batch that ended.
#[derive(Debug)]
pub struct Ended {
    /// The film.
    pub film: BatchFilm,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it was worked on.
    pub elapsed: Duration,
}

/// What a batch did.
#[derive(Debug)]
pub struct BatchSummary {
    /// All films, in order.
    pub films: Vec<Ended>,
    /// Time from start to end.
    pub elapsed: Duration,
}

impl BatchSummary {
    /// Films that ended in a way.
    #[must_use]
    pub fn count(&self, is: impl Fn(&Outcome) -> bool) -> usize {
        self.films.iter().filter(|ended| is(&ended.outcome)).count()
    }
}

/// Films, one after another.
///
/// ```no_run
/// use framelift::{Batch, CancelToken, Place, Target, Upscaler};
///
/// let batch = Batch::collect(&["holidays".into()], &Place::Folder("holidays-1080".into()))?;
/// let summary = batch.run(
///     &CancelToken::new(),
///     |film| Upscaler::new(&film.input, &film.output).target(Target::ShortSide(1080)),
///     |event| println!("{event:?}"),
/// );
/// for film in &summary.films {
///     println!("{}: {:?}", film.film.output, film.outcome);
/// }
/// # Ok::<(), framelift::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    films: Vec<BatchFilm>,
    left_out: Vec<LeftOut>,
}

impl Batch {
    /// The films of `inputs`: files, URLs, image patterns, and folders, which are walked. Of several folders each has its own
    /// name among the results; the results of one lie directly in theirs.
    ///
    /// # Errors
    /// [`BatchError`]; [`MediaError`] for folders that cannot be read.
    pub fn collect(inputs: &[String], place: &Place) -> Result<Self, Error> {
        if let Place::Folder(folder) = place
            && folder.is_file()
        {
            return Err(BatchError::FileForFolder { file: folder.clone() }.into());
        }
        collect::collect(inputs, place)
    }

    /// A batch of films that are known.
    #[must_use]
    pub fn of(films: Vec<BatchFilm>) -> Self {
        Self { films, left_out: Vec::new() }
    }

    /// The films, in order.
    #[must_use]
    pub fn films(&self) -> &[BatchFilm] {
        &self.films
    }

    /// Files that lie among the films and are none.
    #[must_use]
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// Works on the films, one after another. One that fails does not stop the rest; one whose result is there and whole is
    /// skipped, unless results are replaced.
    ///
    /// `upscaler` says how a film is worked on; its events and its cancel token are the batch's.
    pub fn run(
        self,
        cancel: &CancelToken,
        upscaler: impl Fn(&BatchFilm) -> Upscaler,
        on_event: impl Fn(BatchEvent<'_>) + Send + Sync + 'static,
    ) -> BatchSummary {
        let started = Instant::now();
        let upscaler = |film: &BatchFilm| upscaler(film).cancel(cancel);
        let surveys: Vec<Option<Result<Survey, Error>>> =
            self.films.iter().map(|film| (!cancel.is_cancelled()).then(|| upscaler(film).survey())).collect();
        let is_due = |survey: &Survey| survey.existing != Existing::Whole;
        let due = || surveys.iter().map(|s| s.as_ref()?.as_ref().ok().filter(|survey| is_due(survey)));
        let on_event = Arc::new(on_event);
        on_event(BatchEvent::Surveyed {
            done: surveys.iter().flatten().flatten().filter(|survey| !is_due(survey)).count(),
            due: due().flatten().count(),
            frames: due().flatten().map(|survey| survey.frames).sum(),
        });
        let clock = Arc::new(Mutex::new(Clock::new(due())));
        let mut films = Vec::new();
        for (index, (film, survey)) in self.films.into_iter().zip(surveys).enumerate() {
            let begun = Instant::now();
            let outcome = match survey {
                _ if cancel.is_cancelled() => Outcome::Stopped,
                None => Outcome::Stopped,
                Some(Err(error)) => Outcome::Failed(error),
                Some(Ok(survey)) if !is_due(&survey) => Outcome::Skipped,
                Some(Ok(survey)) => {
                    on_event(BatchEvent::Began { index });
                    let (events, shared) = (Arc::clone(&on_event), Arc::clone(&clock));
                    let told = move |event: Event| {
                        let clock = shared.lock().unwrap_or_else(PoisonError::into_inner);
                        let (share, left) = match &event {
                            Event::Progress(progress) => (clock.share(index, progress), clock.left(index, progress)),
                            _ => (None, None),
                        };
                        drop(clock);
                        events(BatchEvent::Film { index, event: &event, share, left });
                    };
                    make(&film, &survey, || upscaler(&film).on_event(told))
                }
            };
            let elapsed = begun.elapsed();
            if matches!(outcome, Outcome::Made(_)) {
                clock.lock().unwrap_or_else(PoisonError::into_inner).finished(index, elapsed);
            }
            on_event(BatchEvent::Ended { index, outcome: &outcome });
            films.push(Ended { film, outcome, elapsed });
        }
        BatchSummary { films, elapsed: started.elapsed() }
    }
}

/// Makes one film, whatever happens.
fn make(film: &BatchFilm, survey: &Survey, upscaler: impl FnOnce() -> Upscaler) -> Outcome {
    if let Existing::Other(what) = &survey.existing {
        return Outcome::Failed(Error::OtherOutput { path: film.output.clone(), what: what.clone() });
    }
    let made = make_folder(&film.output).and_then(|()| {
        catch_unwind(AssertUnwindSafe(|| upscaler().run())).unwrap_or_else(|_| {
            let message = "its own message was printed where it happened".into();
            Err(PipelineError::Panic { stage: "upscale", message }.into())
        })
    });
    match made {
        Ok(summary) => Outcome::Made(summary),
        Err(error) if error.kind() == ErrorKind::Interrupted => Outcome::Stopped,
        Err(error) => Outcome::Failed(error),
    }
}

/// Makes the folder that an output goes into.
fn make_folder(output: &str) -> Result<(), Error> {
    let folder = match Output::parse(output)? {
        Output::Stdout => return Ok(()),
        Output::File(path) => path.parent().map(Path::to_path_buf),
        Output::Sequence(pattern) => Some(pattern.folder().to_path_buf()),
    };
    let Some(folder) = folder.filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    std::fs::create_dir_all(&folder).map_err(|error| {
        let what = format!("the folder {} cannot be made: {error}", folder.display());
        let remedy = "check its permissions and the disk, or write elsewhere".into();
        MediaError::Output { output: output.to_owned(), what, remedy }.into()
    })
}
