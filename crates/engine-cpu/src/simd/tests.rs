//! Every instruction set that this machine has computes the same.

use framelift_engine::Precision;
use framelift_engine::reference::round;
use half::f16;

use super::*;

/// Values at the edges of rounding and of the number line, a multiple of sixteen of them.
fn values() -> Vec<f32> {
    let bits = [
        0x0000_0000, // 0
        0x8000_0000, // -0
        0x3f80_8000, // a tie that goes down to even
        0x3f81_8000, // a tie that goes up to even
        0x3f80_8001, // just above a tie
        0xbf80_7fff, // just below a tie
        0x7f7f_ffff, // the largest, which rounds to infinity
        0x7f80_0000, // infinity
        0xff80_0000, // -infinity
        0x7fc0_0000, // NaN
        0x7f80_0001, // NaN with its bits where rounding cuts them off
        0xffff_ffff, // NaN that would round over into zero
        0x0000_0001, // the smallest
        0x8000_ffff, // small, negative
        0x4049_0fdb, // π
        0xc2f6_e979, // -123.456
        0x3f80_1000, // a tie of f16 that goes down to even
        0x3f80_3000, // a tie of f16 that goes up to even
        0x3f80_1001, // just above a tie of f16
        0x477f_e000, // the largest f16
        0x477f_f000, // a tie of f16 that goes up to infinity
        0x477f_efff, // just below it
        0x3880_0000, // the smallest normal f16
        0x387f_f000, // a tie just below it
        0xb87f_e000, // between normal and smaller f16
        0x3380_0000, // the smallest f16
        0x3300_0000, // half of it, which goes down to zero
        0x3300_0001, // a little more
        0xb3c0_0000, // one and a half of it, negative
        0x4248_f5c3, // 50.24
        0x3dcc_cccd, // 0.1
        0xc479_fe77, // -999.976
    ];
    bits.map(f32::from_bits).to_vec()
}

fn lanes<S: Simd>(s: S, value: S::V) -> Vec<f32> {
    let mut lanes = vec![0.0; S::LANES];
    // SAFETY: there is room for the lanes.
    unsafe { s.store(lanes.as_mut_ptr(), value) };
    lanes
}

#[track_caller]
fn assert_same(got: f32, expected: f32) {
    assert!(got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan(), "{got:e} for {expected:e}");
}

fn check<S: Simd>(s: S) {
    for chunk in values().chunks_exact(S::LANES) {
        let mut stored = vec![0_u16; S::LANES];
        // SAFETY: chunk and array have as many values as there are lanes.
        let (x, loaded) = unsafe {
            let x = s.load(chunk.as_ptr());
            s.store_bf16(stored.as_mut_ptr(), x);
            (x, s.load_bf16(stored.as_ptr()))
        };
        let mut stored_f16 = vec![0_u16; S::LANES];
        // SAFETY: as above.
        let loaded_f16 = unsafe {
            s.store_f16(stored_f16.as_mut_ptr(), x);
            lanes(s, s.load_f16(stored_f16.as_ptr()))
        };
        let rounded_f16 = lanes(s, s.round_f16(x));
        let loaded = lanes(s, loaded);
        let rounded = lanes(s, s.round_bf16(x));
        let leaky = lanes(s, s.leaky(x, s.splat(-0.5)));
        for (i, &value) in chunk.iter().enumerate() {
            let expected = round(value, Precision::Bf16);
            assert_same(bf16_value(stored[i]), expected);
            assert_same(bf16_value(bf16_bits(value)), expected);
            assert_same(loaded[i], expected);
            assert_same(rounded[i], expected);
            let expected = round(value, Precision::F16);
            assert_same(f16::from_bits(stored_f16[i]).to_f32(), expected);
            assert_same(loaded_f16[i], expected);
            assert_same(rounded_f16[i], expected);
            assert_same(leaky[i], if value <= 0.0 { -0.5 * value } else { value });
        }
    }
    let (a, b, c) = (s.splat(3.0), s.splat(-2.0), s.splat(10.0));
    for (got, expected) in [
        (s.add(a, b), 1.0),
        (s.sub(a, b), 5.0),
        (s.mul(a, b), -6.0),
        (s.fma(a, b, c), 4.0),
        (s.fnma(a, b, c), 16.0),
        (s.div(c, b), -5.0),
        (s.min(a, b), -2.0),
        (s.max(a, b), 3.0),
        (s.abs(b), 2.0),
        (s.floor(s.splat(-1.25)), -2.0),
        (s.floor(s.splat(1.75)), 1.0),
        (s.zero(), 0.0),
    ] {
        assert_eq!(lanes(s, got), vec![expected; S::LANES]);
    }
    let (a, b, expected) = if S::PAIRS {
        let pair = |even, odd| s.splat(f32::from_bits(u32::from(bf16_bits(odd)) << 16 | u32::from(bf16_bits(even))));
        (pair(3.0, 0.5), pair(-2.0, 8.0), 8.0)
    } else {
        (a, b, 4.0)
    };
    assert_eq!(lanes(s, s.dot(c, a, b)), vec![expected; S::LANES]);
}

/// What vectors do besides plain arithmetic.
fn check_whole_numbers_and_nan<S: Simd>(s: S) {
    let nan = s.splat(f32::NAN);
    let one = s.splat(1.0);
    for (got, expected) in [
        (s.min(nan, one), 1.0),
        (s.max(nan, one), 1.0),
        (s.min(one, nan), f32::NAN),
        (s.max(one, nan), f32::NAN),
        (s.floor(s.splat(f32::NEG_INFINITY)), f32::NEG_INFINITY),
    ] {
        lanes(s, got).into_iter().for_each(|got| assert_same(got, expected));
    }
    let mut whole = vec![0; S::LANES];
    // SAFETY: there is room for the lanes.
    unsafe { s.store_whole(whole.as_mut_ptr(), s.splat(8191.0)) };
    assert_eq!(whole, vec![8191; S::LANES]);
    for i in 1..200_u16 {
        let (a, b) = (f32::from(i) * 0.37 - 30.0, f32::from(i) * 1.91);
        for got in lanes(s, s.div(s.splat(a), s.splat(b))) {
            assert!((got - a / b).abs() <= (a / b).abs() * 4.0 * f32::EPSILON, "{got} for {a} / {b}");
        }
    }
    assert_eq!(lanes(s.half(), s.half().splat(2.0)), vec![2.0; <S::Half as Simd>::LANES]);
}

#[test]
fn every_instruction_set_computes_the_same() {
    check(Portable);
    check_whole_numbers_and_nan(Portable);
    // SAFETY: each token is made only where the processor has its instructions.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        if crate::Isa::Avx2.is_available() {
            check(Avx2::new());
            check_whole_numbers_and_nan(Avx2::new());
        }
        if crate::Isa::Avx512.is_available() {
            check(Avx512::new());
            check_whole_numbers_and_nan(Avx512::new());
            check(Avx512Bf16Emulated::new());
            check_whole_numbers_and_nan(Avx512Bf16Emulated::new());
        }
        if crate::Isa::Avx512Bf16.is_available() {
            check(Avx512Bf16::new());
            check_whole_numbers_and_nan(Avx512Bf16::new());
        }
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        check(Neon::new());
        check_whole_numbers_and_nan(Neon::new());
    }
}
