//! Downloads published checkpoints over HTTPS: what was there already is gone on from, and nothing is installed whose size,
//! hash or content is not what it should be.

mod table;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::Duration;

use sha2::{Digest, Sha256};
use ureq::Agent;

pub use table::{Download, downloads};

use crate::{Error, ErrorKind, InstallError, Installed, Model, ModelFolder};

/// A place to fetch from instead of the authors' pages: the file's name is hung on it.
pub const MIRROR_VARIABLE: &str = "FRAMELIFT_MODELS_MIRROR";

/// Most bytes that are taken for a checkpoint whose size is not known.
const MAX_BYTES: u64 = 1 << 30;

/// How long a server may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes read at a time.
const CHUNK_BYTES: usize = 1 << 16;

/// Why a checkpoint was not fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// No published checkpoint of the name is known.
    #[error(
        "no checkpoint called {name} is known; `framelift models list` shows those that can be fetched, and `framelift models add` takes any file"
    )]
    Unknown {
        /// The name.
        name: String,
    },
    /// The address is not one that is fetched from.
    #[error("{url} is not fetched: only https is, or http from this machine itself")]
    Insecure {
        /// The address.
        url: String,
    },
    /// The server could not be reached, or the connection ended.
    #[error("{url}: {what}; look at the network and run the same command again, which goes on where it stopped")]
    Connection {
        /// The address.
        url: String,
        /// What went wrong.
        what: String,
    },
    /// The server refused.
    #[error(
        "{url}: the server answered {status}; the file may have moved: download it by hand and install it with `framelift models add FILE`"
    )]
    Status {
        /// The address.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The file is not the one that was published.
    #[error(
        "{url}: {what}; it was thrown away. Run the same command again; if that does not help, the file has changed at its source, or somebody between changes it"
    )]
    Wrong {
        /// The address.
        url: String,
        /// What tells it.
        what: String,
    },
    /// Another process fetches it.
    #[error("{} is being fetched by another framelift; wait for it", file.display())]
    Busy {
        /// The unfinished file.
        file: PathBuf,
    },
}

impl FetchError {
    pub(crate) const fn kind(&self) -> ErrorKind {
        match self {
            Self::Unknown { .. } | Self::Insecure { .. } => ErrorKind::Usage,
            Self::Connection { .. } | Self::Status { .. } | Self::Wrong { .. } => ErrorKind::Input,
            Self::Busy { .. } => ErrorKind::Output,
        }
    }
}

impl Download {
    /// The published checkpoint called `name`, at its authors' page or at the mirror that `FRAMELIFT_MODELS_MIRROR` names.
    ///
    /// # Errors
    /// [`FetchError::Unknown`].
    pub fn named(name: &str) -> Result<Self, FetchError> {
        let known = downloads().into_iter().find(|download| download.name == name);
        let mut download = known.ok_or_else(|| FetchError::Unknown { name: name.to_owned() })?;
        if let Some(mirror) = std::env::var(MIRROR_VARIABLE).ok().filter(|mirror| !mirror.is_empty()) {
            download.url = format!("{}/{}", mirror.trim_end_matches('/'), download.file_name());
        }
        Ok(download)
    }

    /// The name of its file.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or_default()
    }

    /// The checkpoint as it is installed in `folder`, if it is.
    ///
    /// # Errors
    /// [`InstallError::Folder`].
    pub fn installed(&self, folder: &ModelFolder) -> Result<Option<Installed>, InstallError> {
        Ok(folder.list()?.into_iter().find(|there| there.file.file_name() == Some(self.file_name().as_ref())))
    }

    /// Downloads it into `folder`, checks size, hash and content, and installs it. `on_progress` is told the bytes that are
    /// there and those that are to be. One that is installed and whole is not fetched again.
    ///
    /// # Errors
    /// [`FetchError`]; [`InstallError`]; as [`Model::open`] for files that are no checkpoints.
    pub fn fetch(
        &self,
        folder: &ModelFolder,
        mut on_progress: impl FnMut(u64, Option<u64>),
    ) -> Result<Installed, Error> {
        let installed = Installed { name: self.name.clone(), file: folder.path().join(self.file_name()) };
        if let Some(there) = self.installed(folder)?
            && let Ok(mut file) = File::open(&there.file)
            && self.check(&mut file).is_ok_and(|wrong| wrong.is_none())
        {
            return Ok(there);
        }
        fs::create_dir_all(folder.path()).map_err(|error| folder.failed(folder.path(), error))?;
        let part = folder.unfinished(&installed);
        let disk = |error: io::Error| folder.failed(&part, error);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&part).map_err(disk)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FetchError::Busy { file: part }.into()),
            Err(TryLockError::Error(error)) => return Err(disk(error).into()),
        }
        let mut begun_before = file.metadata().map_err(disk)?.len() > 0;
        loop {
            self.receive(&mut file, &disk, &mut on_progress)?;
            let Some(what) = self.check(&mut file).map_err(disk)? else { break };
            file.set_len(0).map_err(disk)?;
            if !std::mem::take(&mut begun_before) {
                let _ = fs::remove_file(&part);
                return Err(FetchError::Wrong { url: self.url.clone(), what }.into());
            }
            // What was left from before belonged to another file: from the beginning.
        }
        file.sync_all().map_err(disk)?;
        Model::open(&part).inspect_err(|_| {
            let _ = fs::remove_file(&part);
        })?;
        Ok(folder.publish(&part, installed)?)
    }

    /// Receives what is missing of `file`.
    fn receive(
        &self,
        file: &mut File,
        disk: &impl Fn(io::Error) -> InstallError,
        on_progress: &mut impl FnMut(u64, Option<u64>),
    ) -> Result<(), Error> {
        let mut from = file.metadata().map_err(disk)?.len();
        if self.bytes.is_some_and(|bytes| from > bytes) {
            (from, ()) = (0, file.set_len(0).map_err(disk)?);
        }
        if self.bytes == Some(from) {
            return Ok(());
        }
        let connection = |what: String| FetchError::Connection { url: self.url.clone(), what };
        let agent = agent(&self.url)?;
        let ask = |from: u64| {
            let request = agent.get(&self.url);
            let request = if from > 0 { request.header("Range", format!("bytes={from}-")) } else { request };
            request.call().map_err(|error| connection(error.to_string()))
        };
        let mut response = ask(from)?;
        if response.status().as_u16() == 416 {
            // Nothing lies behind what is there: it may be whole, or of another file.
            if self.bytes.is_none() && self.check(file).map_err(disk)?.is_none() {
                return Ok(());
            }
            (from, response) = (0, ask(0)?);
        }
        match response.status().as_u16() {
            206 if starts_at(&response, from) => {}
            // The server does not know parts, or sends another: from the beginning.
            206 => (from, response) = (0, ask(0)?),
            _ => {}
        }
        match response.status().as_u16() {
            206 => {}
            200 => from = 0,
            status => return Err(FetchError::Status { url: self.url.clone(), status }.into()),
        }
        let coming = response.headers().get("content-length").and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
        let total = coming.map(|coming| from + coming);
        let most = self.bytes.unwrap_or(MAX_BYTES);
        let too_long =
            || FetchError::Wrong { url: self.url.clone(), what: format!("the file is longer than {most} bytes") };
        if total.is_some_and(|total| total > most) {
            file.set_len(0).map_err(disk)?;
            return Err(too_long().into());
        }
        file.set_len(from).map_err(disk)?;
        file.seek(SeekFrom::Start(from)).map_err(disk)?;
        let mut body = response.body_mut().as_reader();
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut there = from;
        loop {
            on_progress(there, self.bytes.or(total));
            let count = body.read(&mut chunk).map_err(|error| connection(error.to_string()))?;
            if count == 0 {
                break;
            }
            there += count as u64;
            if there > most {
                file.set_len(0).map_err(disk)?;
                return Err(too_long().into());
            }
            file.write_all(&chunk[..count]).map_err(disk)?;
        }
        match self.bytes.or(total) {
            Some(due) if there < due => {
                Err(connection(format!("the connection ended after {there} of {due} bytes")).into())
            }
            _ => Ok(()),
        }
    }

    /// What is wrong with the file, if anything.
    fn check(&self, file: &mut File) -> io::Result<Option<String>> {
        file.seek(SeekFrom::Start(0))?;
        let mut hasher = Sha256::new();
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut bytes = 0;
        loop {
            let count = file.read(&mut chunk)?;
            if count == 0 {
                break;
            }
            bytes += count as u64;
            hasher.update(&chunk[..count]);
        }
        if let Some(due) = self.bytes.filter(|due| *due != bytes) {
            return Ok(Some(format!("the file has {bytes} bytes where {due} were published")));
        }
        let hash: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok((!hash.starts_with(&self.sha256)).then(|| {
            let due = &self.sha256;
            format!("the file's SHA-256 is {} where {due} was published", &hash[..due.len().min(hash.len())])
        }))
    }
}

/// Whether a part of a file begins at `from`: `Content-Range: bytes FROM-TO/ALL`.
fn starts_at<B>(response: &ureq::http::Response<B>, from: u64) -> bool {
    let range = response.headers().get("content-range").and_then(|value| value.to_str().ok());
    range.is_some_and(|range| {
        range.strip_prefix("bytes ").and_then(|range| range.split('-').next()?.parse().ok()) == Some(from)
    })
}

/// A client for an address: https and nothing else, redirections included; http only within this machine.
fn agent(url: &str) -> Result<Agent, FetchError> {
    let local = ["http://127.0.0.1", "http://[::1]", "http://localhost"]
        .iter()
        .any(|host| url.strip_prefix(host).is_some_and(|rest| rest.starts_with([':', '/'])));
    if url.contains('@') || (!local && !url.starts_with("https://")) {
        return Err(FetchError::Insecure { url: url.to_owned() });
    }
    let config = Agent::config_builder()
        .https_only(!local)
        .http_status_as_error(false)
        .user_agent(concat!("framelift/", env!("CARGO_PKG_VERSION")))
        .accept_encoding("identity")
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .timeout_per_read(Some(PATIENCE));
    Ok(config.build().new_agent())
}

#[cfg(test)]
mod tests;
