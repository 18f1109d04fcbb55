//! `framelift models`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[cfg(feature = "fetch")]
use super::ProgressMode;

#[derive(Args, Debug)]
#[command(
    after_help = "Checkpoints are installed in `models` below FRAMELIFT_DATA_DIR, else below the system's folder of \
user data. FRAMELIFT_MODELS_MIRROR names an address to fetch from in place of the authors' pages; sizes and hashes are \
checked all the same."
)]
pub(crate) struct Models {
    #[command(subcommand)]
    pub(crate) command: Option<ModelsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// List the models built in, those installed, and those that can be fetched, with what each is good for
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Say what a model or a checkpoint file is
    Show {
        /// A model's name or a file (.pth, .safetensors)
        model: String,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Install a checkpoint file, so that --model finds it by name: it is checked and copied into the user's data folder
    Add {
        /// A checkpoint (.pth, .safetensors); the file's name becomes the model's
        file: PathBuf,
        /// Replace another checkpoint of the same name
        #[arg(long)]
        overwrite: bool,
    },
    /// Download a published checkpoint from its authors' release page, check it and install it
    #[cfg(feature = "fetch")]
    Fetch {
        /// Names, as `framelift models list` gives them
        #[arg(required = true)]
        names: Vec<String>,
        /// How progress is shown, on stderr
        #[arg(long, value_enum, default_value_t = ProgressMode::Auto)]
        progress: ProgressMode,
    },
    /// Remove a checkpoint that was installed
    Remove {
        /// Its name
        name: String,
    },
}
