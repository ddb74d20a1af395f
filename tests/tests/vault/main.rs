//! The vault against every attacker of the threat model, at the level of its objects.

mod fixture;
mod full_disk;
mod hostile;
mod identity;
mod insider;
mod odd_objects;
mod quarantine;
mod round_trip;
mod serial;
mod tamper;
mod writers;
