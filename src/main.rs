//! The multi-call door: picks a program by `argv[0]` or the first argument.

fn main() {}
