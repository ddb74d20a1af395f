//! A step of training allocates nothing: many steps cost as many allocations as few.
//!
//! The only test of this program, since the count is the whole process's. The harness's own thread may allocate
//! meanwhile, so each count is the least of some.

use sealnet::train::adam::Adam;
use sealnet::train::init::glorot_uniform;
use sealnet::train::{
    AsIs, Backend, Chunk, Compute, Engine, InputMap, Prepared, Settings, Shape, Targets,
};
use sealnet_tests::network::Batch;

/// Counts what is allocated.
#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

#[test]
fn steps_allocate_nothing() {
    let _counting = dhat::Profiler::builder().testing().build();
    let shape = Shape::new(120, [33, 17], 5).unwrap();
    let batch = Batch::random(&shape, 640, 1);
    let prepared = Prepared::new(&batch.records());
    let all = batch.all();
    for threads in [1, 2, 3] {
        let settings = Settings {
            input: InputMap::centred(),
            adam: Adam::default(),
            batch: 16,
            compute: Compute {
                backend: Backend::detect(),
                threads,
            },
        };
        let mut engine = Engine::new(&glorot_uniform(&shape, 1), settings).unwrap();
        let mut count = |records: usize| {
            let chunk = Chunk {
                prepared: &prepared,
                targets: Targets::labels(&batch.labels),
                order: &all[..records],
                rate: &|_| 1e-3,
            };
            let counts = (0..5).map(|_| {
                let before = dhat::HeapStats::get().total_blocks;
                engine.run(&chunk, &AsIs, &mut |_| ()).unwrap();
                dhat::HeapStats::get().total_blocks - before
            });
            counts.min().unwrap()
        };
        let few = count(32);
        assert!(few > 0, "the allocator counts");
        assert_eq!(count(640), few, "{threads} threads");
    }
}
