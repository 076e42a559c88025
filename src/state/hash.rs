//! The hash of state: fixed seed, made for whole columns of 64-bit lanes.
//!
//! A lane is folded by a 64 x 64 -> 128 bit multiplication whose halves are xored, as wyhash and foldhash do. The seed
//! is fixed so that equal inputs give equal layouts in every run. A hash is never an identity: whoever uses it
//! compares the values too. It is not meant to withstand chosen keys.

const SEED: u64 = 0x243f_6a88_85a3_08d3;
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
const SECOND: u64 = 0xa409_3822_299f_31d1;

/// What a NULL counts as in a row's hash.
pub const NULL_HASH: u64 = 0xc0ac_29b7_c97c_50dd;

/// Multiplies and xors the two halves of the product.
#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

/// The hash of one lane.
#[inline(always)]
pub fn hash_u64(value: u64) -> u64 {
    fold(value ^ SEED, FACTOR)
}

/// The hash of what `hash` stands for followed by `value`.
#[inline(always)]
pub fn combine(hash: u64, value: u64) -> u64 {
    fold(hash ^ value ^ SECOND, FACTOR)
}

/// The hash of `N` lanes.
#[inline(always)]
pub fn hash_lanes<const N: usize>(lanes: &[u64; N]) -> u64 {
    let mut hash = hash_u64(lanes[0]);
    for &lane in &lanes[1..] {
        hash = combine(hash, lane);
    }
    hash
}

/// The hash of 16 bytes that stand for a whole short value, its length included.
#[inline(always)]
pub fn hash_short(view: u128) -> u64 {
    combine(hash_u64(view as u64), (view >> 64) as u64)
}

/// The hash of a byte string: 16 bytes a round, the last round overlapping the one before.
#[inline]
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hash = hash_u64(bytes.len() as u64);
    let mut rounds = bytes.chunks_exact(16);
    for round in rounds.by_ref() {
        hash = absorb(hash, round);
    }
    let rest = rounds.remainder();
    if !rest.is_empty() {
        if let Some(last) = bytes.len().checked_sub(16).and_then(|start| bytes.get(start..)) {
            hash = absorb(hash, last);
        } else {
            let mut padded = [0; 16];
            padded[..rest.len()].copy_from_slice(rest);
            hash = absorb(hash, &padded);
        }
    }
    fold(hash ^ SECOND, FACTOR)
}

/// One round of 16 bytes.
#[inline(always)]
fn absorb(hash: u64, round: &[u8]) -> u64 {
    let (low, high) = round.split_at(8);
    let lane = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("a round is two lanes of 8 bytes"));
    fold(lane(low) ^ hash, lane(high) ^ FACTOR).wrapping_add(hash.rotate_left(23))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn neighbours_spread_over_the_high_bits() {
        for shift in [0, 8, 20, 32, 48] {
            let buckets: HashSet<u64> = (0..4096u64).map(|i| hash_u64(i << shift) >> 52).collect();
            // A random function would fill 2,589.
            assert!(buckets.len() > 2000, "shift {shift}: {} of 4096 buckets", buckets.len());
        }
    }

    #[test]
    fn lengths_and_every_byte_count() {
        let base: Vec<u8> = (0..40).collect();
        let mut seen = HashSet::new();
        for length in 0..=base.len() {
            assert!(seen.insert(hash_bytes(&base[..length])));
            for position in 0..length {
                let mut changed = base[..length].to_vec();
                changed[position] ^= 0x80;
                assert!(seen.insert(hash_bytes(&changed)), "byte {position} of {length}");
            }
        }
        assert!(
            seen.insert(hash_bytes(&[0, 0])) && seen.insert(hash_bytes(&[0; 16])) && seen.insert(hash_bytes(&[0; 32]))
        );
    }
}
