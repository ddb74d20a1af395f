//! A bounded number of shards in flight: requests to the store wait, cores compute.

use futures::channel::oneshot;

use crate::error::{Error, Result};

/// How many shards are held at a time: one a core, and two whose reading or writing overlaps.
pub fn shards_in_flight() -> usize {
    rayon::current_num_threads() + 2
}

/// Runs `work` on a core and waits for it without blocking this thread.
pub(super) async fn on_a_core<'scope, T>(
    scope: &rayon::Scope<'scope>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<T>
where
    T: Send + 'scope,
{
    let (give, take) = oneshot::channel();
    scope.spawn(move |_| {
        // Nobody waits any more when another shard has failed.
        let _ = give.send(work());
    });
    take.await
        .map_err(|_| Error::input("a worker thread stopped", "please report this defect"))
}
