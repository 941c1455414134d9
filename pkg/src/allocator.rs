//! The module's allocator: a free list, 8 KB smaller than std's (docs/decisions/0001-wasm-off-the-cold-path.md).

use lol_alloc::{AssumeSingleThreaded, FreeListAllocator};

// SAFETY: wasm32-unknown-unknown without the atomics feature has one thread.
#[global_allocator]
static ALLOCATOR: AssumeSingleThreaded<FreeListAllocator> =
    unsafe { AssumeSingleThreaded::new(FreeListAllocator::new()) };

#[cfg(target_feature = "atomics")]
compile_error!("the allocator of onetrip-js assumes a single thread");
