//! What a panic does: nothing more, until a reset. `tests/run thumb` checks that only two others' crates
//! hold a path to it, which they never take.

use core::panic::PanicInfo;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    cortex_m::asm::udf()
}
