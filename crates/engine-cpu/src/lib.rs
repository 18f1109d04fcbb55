//! The engine contract on CPUs
