//! Stages, bounded queues and progress: from a film to a film
