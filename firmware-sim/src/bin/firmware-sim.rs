//! Runs the simulated device.

fn main() {}
