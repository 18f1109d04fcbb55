//! The command `framelift`.

fn main() {}
