//! Sorting pairs by their upper half.

/// Bits of a pass: the counters of one stay in the first-level cache.
const BITS: u32 = 11;

/// Sorts pairs of `group << 32 | place` by group; places of a group stay in order.
pub fn sort_by_group(pairs: &mut Vec<u64>) {
    let highest = pairs.iter().map(|pair| pair >> 32).max().unwrap_or(0);
    let mut other = vec![0; pairs.len()];
    let mut shift = 32;
    while shift < 64 && (highest << 32) >> shift > 0 {
        let digit = |pair: u64| (pair >> shift) as usize & ((1 << BITS) - 1);
        let mut starts = [0u32; 1 << BITS];
        pairs.iter().for_each(|&pair| starts[digit(pair)] += 1);
        let mut sum = 0;
        for start in &mut starts {
            sum += std::mem::replace(start, sum);
        }
        for &pair in pairs.iter() {
            let start = &mut starts[digit(pair)];
            other[*start as usize] = pair;
            *start += 1;
        }
        std::mem::swap(pairs, &mut other);
        shift += BITS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::testing::Random;

    #[test]
    fn sorts_by_the_upper_half_and_keeps_the_order_of_the_rest() {
        let mut random = Random::new(3);
        for highest in [1, 7, 3000, 1 << 23, 1 << 32] {
            let pairs: Vec<u64> = (0..5000).map(|_| random.below(highest) << 32 | random.below(10)).collect();
            let (mut sorted, mut expected) = (pairs.clone(), pairs);
            sort_by_group(&mut sorted);
            expected.sort_by_key(|pair| pair >> 32);
            assert_eq!(sorted, expected);
        }
        sort_by_group(&mut vec![]);
    }
}
