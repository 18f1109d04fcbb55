//! Tensors taken from a checkpoint one by one, and what is wrong at the end.

use std::collections::BTreeSet;

use crate::{Checkpoint, ModelError};

/// Takes the tensors of a network out of a checkpoint. Missing tensors and those of another shape are noted, not
/// refused one at a time, so that [`Reader::finish`] can name them all.
pub(crate) struct Reader<'c> {
    checkpoint: &'c Checkpoint,
    architecture: &'static str,
    taken: BTreeSet<String>,
    missing: Vec<String>,
    misshapen: Vec<String>,
}

/// Weights `[out][in][ky][kx]` and bias `[out]` of a convolution.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ConvWeights {
    pub(crate) weights: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

impl ConvWeights {
    /// Multiply-adds for each position.
    pub(crate) fn macs(&self) -> u64 {
        self.weights.len() as u64
    }

    /// Output channels.
    pub(crate) fn outs(&self) -> usize {
        self.bias.len()
    }
}

/// How many tensors a message names.
const NAMED: usize = 4;

/// Tensors that trainers keep beside the weights of a network and that no output depends on: mmediting counts the
/// steps of its training in `step_counter`.
const BOOKKEEPING: [&str; 1] = ["step_counter"];

impl<'c> Reader<'c> {
    pub(crate) fn new(checkpoint: &'c Checkpoint, architecture: &'static str) -> Self {
        Self { checkpoint, architecture, taken: BTreeSet::new(), missing: Vec::new(), misshapen: Vec::new() }
    }

    /// The convolution `name`: `name.weight`, `[out, ins, kernel, kernel]`, and `name.bias`.
    pub(crate) fn conv(&mut self, name: &str, kernel: usize, ins: usize, out: usize) -> ConvWeights {
        let weights = self.tensor(format!("{name}.weight"), &[out, ins, kernel, kernel]);
        let bias = self.tensor(format!("{name}.bias"), &[out]);
        ConvWeights { weights, bias }
    }

    /// The values of the tensor `name` of `shape`; none where it is missing.
    pub(crate) fn tensor(&mut self, name: String, shape: &[usize]) -> Vec<f32> {
        let values = match self.checkpoint.get(&name) {
            None => {
                self.missing.push(name.clone());
                Vec::new()
            }
            Some(weight) if weight.shape() != shape => {
                self.misshapen.push(format!("`{name}` has shape {:?} and not {shape:?}", weight.shape()));
                Vec::new()
            }
            Some(weight) => weight.values().to_vec(),
        };
        self.taken.insert(name);
        values
    }

    /// Output channels of the convolution `name`; 0 where it is missing.
    pub(crate) fn outs(&self, name: &str) -> usize {
        let weight = self.checkpoint.get(&format!("{name}.weight"));
        weight.and_then(|weight| weight.shape().first().copied()).unwrap_or(0)
    }

    /// The first of `names` that the checkpoint has the weights of, else the first: implementations of one network
    /// differ in what they call its parts.
    pub(crate) fn either(&self, names: &[String]) -> String {
        let has = |name: &&String| self.checkpoint.get(&format!("{name}.weight")).is_some();
        names.iter().find(has).or(names.first()).cloned().unwrap_or_default()
    }

    /// How many numbers follow `prefix` in the names of tensors, such as the blocks of `body.`.
    pub(crate) fn count(&self, prefix: &str) -> usize {
        let number = |name: &String| name.strip_prefix(prefix)?.split('.').next()?.parse::<u32>().ok();
        self.checkpoint.tensors().keys().filter_map(number).collect::<BTreeSet<u32>>().len()
    }

    /// The number of weights taken, once every tensor of the network was found, every tensor of the checkpoint was
    /// taken, and all values are finite.
    pub(crate) fn finish(self) -> Result<u64, ModelError> {
        let file = || self.checkpoint.name().to_owned();
        let is_left = |name: &&String| !self.taken.contains(*name) && !BOOKKEEPING.contains(&name.as_str());
        let left: Vec<String> = self.checkpoint.tensors().keys().filter(is_left).cloned().collect();
        let mut problems = Vec::new();
        if !self.missing.is_empty() {
            problems.push(format!("it lacks {} ({})", counted(self.missing.len(), "tensor"), first_few(&self.missing)));
        }
        if !left.is_empty() {
            problems.push(format!("it has {} too many ({})", counted(left.len(), "tensor"), first_few(&left)));
        }
        problems.extend(self.misshapen.iter().take(NAMED).cloned());
        if !problems.is_empty() {
            let problems = problems.join(", ");
            return Err(ModelError::Mismatch { file: file(), architecture: self.architecture, problems });
        }
        let broken = self.checkpoint.tensors().iter().find(|(_, t)| t.values().iter().any(|v| !v.is_finite()));
        if let Some((tensor, _)) = broken {
            return Err(ModelError::NonFinite { file: file(), tensor: tensor.clone() });
        }
        let count = |name: &String| self.checkpoint.get(name).map_or(0, |t| t.values().len() as u64);
        Ok(self.taken.iter().map(count).sum())
    }
}

/// A number of things, such as `1 block` or `2 blocks`.
pub(crate) fn counted(count: usize, thing: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{plural}")
}

/// The first names of a list, for a message.
pub(crate) fn first_few(names: &[String]) -> String {
    let mut list: Vec<String> = names.iter().take(NAMED).map(|name| format!("`{name}`")).collect();
    if names.len() > NAMED {
        list.push("…".into());
    }
    list.join(", ")
}
