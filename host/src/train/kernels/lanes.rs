//! Sixteen numbers side by side, in as many registers as the instruction set needs.

use pulp::Simd;

/// Numbers side by side: every row of every matrix is padded to a multiple of it. What is in the padding of weights
/// may be anything, and meets no output: forwards and back read a layer's own rows alone, and of those its outputs.
pub(crate) const LANES: usize = 16;

/// One piece of a row.
pub(crate) type Line = [f32; LANES];

/// Arithmetic on lines. Each operation rounds once, to nearest, in every lane alike.
pub(crate) trait Lanes: Copy {
    /// A line in registers.
    type Reg: Copy;
    /// Whether a line is one register, so that a kernel can keep many.
    const WIDE: bool;

    /// `value` in every lane.
    fn splat(self, value: f32) -> Self::Reg;
    /// Into registers.
    fn load(self, line: &Line) -> Self::Reg;
    /// Out of registers.
    fn store(self, value: Self::Reg, line: &mut Line);
    /// `a·b + c`, one rounding.
    fn fma(self, a: Self::Reg, b: Self::Reg, c: Self::Reg) -> Self::Reg;
    /// `a + b`.
    fn add(self, a: Self::Reg, b: Self::Reg) -> Self::Reg;
    /// `a - b`.
    fn sub(self, a: Self::Reg, b: Self::Reg) -> Self::Reg;
    /// `a · b`.
    fn mul(self, a: Self::Reg, b: Self::Reg) -> Self::Reg;
    /// `a / b`.
    fn div(self, a: Self::Reg, b: Self::Reg) -> Self::Reg;
    /// `√a`.
    fn sqrt(self, a: Self::Reg) -> Self::Reg;
    /// `value` where `gate > 0`, else 0 (also where `gate` is not a number).
    fn gate(self, gate: Self::Reg, value: Self::Reg) -> Self::Reg;
}

/// A line in `N` registers of `S`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wide<S, const N: usize>(pub(super) S);

macro_rules! each_register {
    ($($name:ident => $of:ident($($argument:ident),+);)+) => {
        $(
            #[inline(always)]
            fn $name(self, $($argument: Self::Reg),+) -> Self::Reg {
                let mut out = [self.0.splat_f32s(0.0); N];
                for n in 0..N {
                    out[n] = self.0.$of($($argument[n]),+);
                }
                out
            }
        )+
    };
}

impl<S: Simd, const N: usize> Lanes for Wide<S, N> {
    type Reg = [S::f32s; N];
    const WIDE: bool = N == 1;

    #[inline(always)]
    fn splat(self, value: f32) -> Self::Reg {
        [self.0.splat_f32s(value); N]
    }

    #[inline(always)]
    fn load(self, line: &Line) -> Self::Reg {
        let (registers, _) = S::as_simd_f32s(line);
        let mut out = [self.0.splat_f32s(0.0); N];
        out.copy_from_slice(registers);
        out
    }

    #[inline(always)]
    fn store(self, value: Self::Reg, line: &mut Line) {
        let (registers, _) = S::as_mut_simd_f32s(line);
        registers.copy_from_slice(&value);
    }

    each_register! {
        fma => mul_add_f32s(a, b, c);
        add => add_f32s(a, b);
        sub => sub_f32s(a, b);
        mul => mul_f32s(a, b);
        div => div_f32s(a, b);
        sqrt => sqrt_f32s(a);
    }

    #[inline(always)]
    fn gate(self, gate: Self::Reg, value: Self::Reg) -> Self::Reg {
        let zero = self.0.splat_f32s(0.0);
        let mut out = [zero; N];
        for n in 0..N {
            let open = self.0.greater_than_f32s(gate[n], zero);
            out[n] = self.0.select_f32s(open, value[n], zero);
        }
        out
    }
}
