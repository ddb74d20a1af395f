//! CBC decryption (SP 800-38A, section 6.2) in batches of one width.
//!
//! The `cbc` crate decrypts whole batches of blocks with one piece of code and what is left over with another;
//! on a Cortex-M the second costs 2.3 kB of flash. Here a batch that is not full is filled up with zeros, unless
//! batches are long, as on a PC.

use aes::Aes128Dec;
use aes::cipher::{
    Array, BlockCipherDecBackend, BlockCipherDecClosure, BlockCipherDecrypt, BlockSizeUser,
    ParBlocks, consts::U16, typenum::Unsigned,
};
use zeroize::Zeroize as _;

/// A block as `aes` takes it.
pub(super) type Block = Array<u8, U16>;

/// Decrypts blocks where they lie. `previous` is the block of ciphertext before them, or the IV; it is the
/// last of them afterwards.
pub(super) fn decrypt(cipher: &Aes128Dec, previous: &mut [u8; 16], blocks: &mut [Block]) {
    cipher.decrypt_with_backend(Decrypt { previous, blocks });
}

/// Copies as many blocks as both hold.
// On its own the compiler knows that they do not overlap; inlined it calls `memmove`, 1.6 kB of flash.
#[inline(never)]
pub(super) fn copy(to: &mut [Block], from: &[[u8; 16]]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = Array::from(*from);
    }
}

struct Decrypt<'b> {
    previous: &'b mut [u8; 16],
    blocks: &'b mut [Block],
}

impl BlockSizeUser for Decrypt<'_> {
    type BlockSize = U16;
}

impl BlockCipherDecClosure for Decrypt<'_> {
    fn call<B: BlockCipherDecBackend<BlockSize = U16>>(self, aes: &B) {
        let mut batch = ParBlocks::<B>::default();
        for blocks in self.blocks.chunks_mut(B::ParBlocksSize::USIZE) {
            for (to, from) in batch.iter_mut().zip(&*blocks) {
                *to = *from;
            }
            if blocks.len() < B::ParBlocksSize::USIZE && B::ParBlocksSize::USIZE > FILLED_UP {
                for block in batch.iter_mut().take(blocks.len()) {
                    aes.decrypt_block(block.into());
                }
            } else {
                aes.decrypt_par_blocks((&mut batch).into());
            }
            for (block, decrypted) in blocks.iter_mut().zip(&batch) {
                for ((byte, plain), previous) in block
                    .iter_mut()
                    .zip(decrypted)
                    .zip(self.previous.iter_mut())
                {
                    let cipher = *byte;
                    *byte = plain ^ *previous;
                    *previous = cipher;
                }
            }
        }
        // All but a plaintext.
        for block in &mut batch {
            block.as_mut_slice().zeroize();
        }
    }
}

/// The longest batch that is filled up.
const FILLED_UP: usize = 4;
