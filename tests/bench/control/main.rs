//! The control plane as processes of our own: what controllers and the scheduler bring about through
//! the API, and what they take. Prints rows; asserts nothing. A name as argument chooses:
//! `controllers` or `scheduler`.

mod controllers;
mod plane;
mod scheduler;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if !args.iter().any(|arg| arg == "--bench") {
        return;
    }
    let chosen = |name: &str| {
        let mut words = args.iter().filter(|arg| !arg.starts_with('-'));
        words.clone().count() == 0 || words.any(|word| word == name)
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if chosen("controllers") {
        runtime.block_on(controllers::run());
    }
    if chosen("scheduler") {
        runtime.block_on(scheduler::run());
    }
}
