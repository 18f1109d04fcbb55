//! Video super-resolution and restoration that keeps the whole film
