//! `framelift demo`.
pub(crate) fn demo(_: &crate::args::Demo) -> Result<(), crate::Failure> { Ok(()) }
