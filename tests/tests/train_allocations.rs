//! A step of training allocates nothing: many steps cost as many allocations as few.
//!
//! The only test of this program, since the count is the whole process's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use sealnet::train::adam::Adam;
use sealnet::train::init::glorot_uniform;
use sealnet::train::{
    AsIs, Backend, Chunk, Compute, Engine, InputMap, Prepared, Settings, Shape, Targets,
};
use sealnet_tests::network::Batch;

/// The system's allocator, which counts.
struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is the system allocator's own, with the arguments as they came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `dealloc`'s contract, and `memory` is `System`'s.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps `realloc`'s contract, and `memory` is `System`'s.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn steps_allocate_nothing() {
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
            let before = COUNT.load(Ordering::Relaxed);
            engine.run(&chunk, &AsIs, &mut |_| ()).unwrap();
            COUNT.load(Ordering::Relaxed) - before
        };
        let few = count(32);
        assert!(few > 0, "the allocator counts");
        assert_eq!(count(640), few, "{threads} threads");
    }
}
