//! Each operation as a plain, slow, obviously right loop, and an engine made of them.
