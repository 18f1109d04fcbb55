//! What framelift's tests share: golden vectors, synthetic checkpoints and films
