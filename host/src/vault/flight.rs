//! A bounded number of shards in flight: requests to the store wait, cores compute.

use futures::channel::oneshot;

use crate::error::{Error, Result};
use crate::store::requests_in_flight;

/// How many shards are held at a time: as many as there are requests to the store.
pub fn shards_in_flight() -> usize {
    requests_in_flight()
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
