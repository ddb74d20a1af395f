//! The vault against every attacker of the threat model, at the level of its objects.

mod fixture;
mod hostile;
mod insider;
mod quarantine;
mod round_trip;
mod serial;
mod tamper;
mod writers;
