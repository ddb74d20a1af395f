//! Many records at once, on a host that has memory to pack a network's weights again.
//!
//! [`Batch`] gives the integers that [`Network::infer`] gives, bit for bit, with the fastest kernel that the machine has, or
//! with one that the caller names.

use core::fmt;
use std::vec;
use std::vec::Vec;

use zeroize::Zeroizing;

use super::{DenseRef, Kernel, Network, ShapeError, kernel};

/// What a host runs many records with. All give the same integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HostKernel {
    /// The reference, one record after the other.
    Portable,
    /// x86-64 with AVX2.
    Avx2,
    /// x86-64 with AVX-512 and its instructions for 8-bit products.
    Avx512Vnni,
}

impl HostKernel {
    /// All that there are, slowest first.
    pub const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512Vnni];

    /// The fastest that this machine has.
    #[must_use]
    pub fn fastest() -> Self {
        let mut kernels = Self::ALL.into_iter().rev();
        let found = kernels.find(|kernel| kernel.is_available());
        found.unwrap_or(Self::Portable)
    }

    /// Whether this machine has what it needs.
    #[must_use]
    pub fn is_available(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return kernel::x86::has(self);
        #[cfg(not(target_arch = "x86_64"))]
        return self == Self::Portable;
    }

    /// As it is written: `portable`, `avx2`, `avx512vnni`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512Vnni => "avx512vnni",
        }
    }

    /// Itself.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] where this machine lacks it.
    pub fn available(self) -> Result<Self, Unavailable> {
        self.is_available().then_some(self).ok_or(Unavailable(self))
    }
}

impl fmt::Display for HostKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// This machine lacks what a kernel needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unavailable(HostKernel);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let needs = match self.0 {
            HostKernel::Portable => "nothing",
            HostKernel::Avx2 => "an x86-64 processor with AVX2",
            HostKernel::Avx512Vnni => "an x86-64 processor with AVX-512 F, VNNI and POPCNT",
        };
        write!(
            f,
            "this machine lacks the kernel {}: it needs {needs}",
            self.0
        )
    }
}

impl core::error::Error for Unavailable {}

/// A network, packed for a kernel.
pub struct Batch<'w> {
    network: Network<'w>,
    layers: [BatchLayer<'w>; 3],
}

impl<'w> Batch<'w> {
    /// For the fastest kernel that this machine has. [`Kernel::Skip`] leaves out groups of four features that are all
    /// zero, for the first layer's outputs that fill 64; the rest and the portable kernel take them all.
    #[must_use]
    pub fn new(network: &Network<'w>, kernel: Kernel) -> Self {
        Self::packed(network, kernel, HostKernel::fastest())
    }

    /// For one kernel.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] where this machine lacks it.
    pub fn with_kernel(
        network: &Network<'w>,
        kernel: Kernel,
        host: HostKernel,
    ) -> Result<Self, Unavailable> {
        Ok(Self::packed(network, kernel, host.available()?))
    }

    fn packed(network: &Network<'w>, kernel: Kernel, host: HostKernel) -> Self {
        let [first, second, third] = network.layers();
        // What is hidden is seldom zero four times in a row.
        let layers = [
            (first, kernel),
            (second, Kernel::Dense),
            (third, Kernel::Dense),
        ];
        Self {
            network: *network,
            layers: layers.map(|(layer, kernel)| BatchLayer::packed(layer, kernel, host)),
        }
    }

    /// Which kernel was asked for.
    #[must_use]
    pub const fn kernel(&self) -> Kernel {
        let [first, _, _] = &self.layers;
        first.kernel
    }

    /// Whether zeros are left out for any output.
    #[must_use]
    pub fn skips(&self) -> bool {
        let [first, _, _] = &self.layers;
        first.skips()
    }

    /// What it runs with.
    #[must_use]
    pub const fn host_kernel(&self) -> HostKernel {
        let [first, _, _] = &self.layers;
        first.host
    }

    /// Runs the network over records of `[input]` features each: to `logits[records][output]`, on the model's logit scale.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] if a record or `logits` has the wrong length; nothing is computed then.
    pub fn logits(&self, records: &[&[u8]], logits: &mut [i32]) -> Result<(), ShapeError> {
        let [first, second, third] = &self.layers;
        first.takes(records)?;
        let outputs = third.layer.outputs();
        if records.len().checked_mul(outputs) != Some(logits.len()) {
            return Err(ShapeError::Logits);
        }
        let (mut hidden1, mut hidden2) = (first.activations(), second.activations());
        let records = records.chunks(TOGETHER);
        for (records, logits) in records.zip(logits.chunks_mut(TOGETHER * outputs)) {
            first.run_hidden(records, &mut hidden1);
            second.run_hidden(&first.rows(&hidden1, records.len()), &mut hidden2);
            third.run_output(&second.rows(&hidden2, records.len()), logits);
        }
        Ok(())
    }
}

/// The parameters may be secret: they are not shown.
impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shape, kernel) = (self.network.shape(), self.kernel());
        write!(f, "Batch({shape}, {kernel:?}, {})", self.host_kernel())
    }
}

/// One layer, packed for a kernel.
pub struct BatchLayer<'w> {
    layer: DenseRef<'w>,
    kernel: Kernel,
    host: HostKernel,
    #[cfg(target_arch = "x86_64")]
    packed: Option<kernel::x86::Packed>,
}

impl<'w> BatchLayer<'w> {
    /// For one kernel.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] where this machine lacks it.
    pub fn with_kernel(
        layer: &DenseRef<'w>,
        kernel: Kernel,
        host: HostKernel,
    ) -> Result<Self, Unavailable> {
        Ok(Self::packed(layer, kernel, host.available()?))
    }

    fn packed(layer: &DenseRef<'w>, kernel: Kernel, host: HostKernel) -> Self {
        Self {
            layer: *layer,
            kernel,
            host,
            #[cfg(target_arch = "x86_64")]
            packed: kernel::x86::Packed::new(layer, host),
        }
    }

    fn skips(&self) -> bool {
        #[cfg(target_arch = "x86_64")]
        let can = self
            .packed
            .as_ref()
            .is_some_and(kernel::x86::Packed::can_skip);
        #[cfg(not(target_arch = "x86_64"))]
        let can = false;
        can && self.kernel == Kernel::Skip
    }

    /// Activations after ReLU, `[records][outputs]`, of records of `[inputs]` features or activations each.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] if a record or `out` has the wrong length; nothing is computed then.
    pub fn hidden(&self, records: &[&[u8]], out: &mut [u8]) -> Result<(), ShapeError> {
        self.takes(records)?;
        let outputs = self.layer.outputs();
        if records.len().checked_mul(outputs) != Some(out.len()) {
            return Err(ShapeError::Logits);
        }
        let mut activations = self.activations();
        let records = records.chunks(TOGETHER);
        for (records, out) in records.zip(out.chunks_mut(TOGETHER * outputs)) {
            self.run_hidden(records, &mut activations);
            let rows = activations.chunks_exact(self.stride());
            for (out, row) in out.chunks_exact_mut(outputs).zip(rows) {
                for (out, activation) in out.iter_mut().zip(row) {
                    *out = *activation;
                }
            }
        }
        Ok(())
    }

    /// Logits, `[records][outputs]`, of records of `[inputs]` activations each.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] if a record or `out` has the wrong length; nothing is computed then.
    pub fn output(&self, records: &[&[u8]], out: &mut [i32]) -> Result<(), ShapeError> {
        self.takes(records)?;
        if records.len().checked_mul(self.layer.outputs()) != Some(out.len()) {
            return Err(ShapeError::Logits);
        }
        self.run_output(records, out);
        Ok(())
    }

    fn takes(&self, records: &[&[u8]]) -> Result<(), ShapeError> {
        let mut lengths = records.iter().map(|record| record.len());
        match lengths.all(|length| length == self.layer.inputs()) {
            true => Ok(()),
            false => Err(ShapeError::Features),
        }
    }

    /// Bytes that a record's activations take.
    fn stride(&self) -> usize {
        #[cfg(target_arch = "x86_64")]
        if let Some(packed) = &self.packed {
            return packed.stride();
        }
        self.layer.outputs()
    }

    /// Room for those of [`TOGETHER`] records.
    fn activations(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(vec![0; TOGETHER * self.stride()])
    }

    /// Those of each record, and no more records.
    fn rows<'a>(&self, activations: &'a [u8], records: usize) -> Vec<&'a [u8]> {
        let rows = activations.chunks_exact(self.stride());
        let rows = rows.filter_map(|row| row.get(..self.layer.outputs()));
        rows.take(records).collect()
    }

    fn run_hidden(&self, records: &[&[u8]], out: &mut [u8]) {
        #[cfg(target_arch = "x86_64")]
        if let Some(packed) = &self.packed {
            return packed.hidden(self.kernel, records, out);
        }
        for (record, out) in records.iter().zip(out.chunks_exact_mut(self.stride())) {
            kernel::hidden(&self.layer, record, out);
        }
    }

    fn run_output(&self, records: &[&[u8]], out: &mut [i32]) {
        #[cfg(target_arch = "x86_64")]
        if let Some(packed) = &self.packed {
            return packed.output(self.kernel, records, out);
        }
        let rows = out.chunks_exact_mut(self.layer.outputs());
        for (record, out) in records.iter().zip(rows) {
            kernel::output(&self.layer, record, out);
        }
    }
}

/// The parameters may be secret: they are not shown.
impl fmt::Debug for BatchLayer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "BatchLayer({:?}, {:?}, {})",
            self.layer, self.kernel, self.host
        )
    }
}

/// Records that go through all layers together: their activations stay in the nearest cache, and they make whole blocks.
const TOGETHER: usize = 192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_everywhere_and_what_is_missing_is_said() {
        assert!(HostKernel::Portable.is_available());
        assert!(HostKernel::fastest().is_available());
        assert_eq!(
            std::format!("{}", Unavailable(HostKernel::Avx2)),
            "this machine lacks the kernel avx2: it needs an x86-64 processor with AVX2"
        );
        for kernel in HostKernel::ALL {
            let expected = kernel.is_available().then_some(kernel);
            assert_eq!(kernel.available().ok(), expected);
        }
    }
}
