//! Medians and intervals of what was measured.

/// The middle value; 0 of none.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        length if length % 2 == 1 => sorted[length / 2],
        length => f64::midpoint(sorted[length / 2 - 1], sorted[length / 2]),
    }
}

/// The middle half: lower and upper quartile.
pub(super) fn middle_half(values: &[f64]) -> (f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |part: usize| sorted.get(sorted.len() * part / 4).or(sorted.last()).copied().unwrap_or(0.0);
    (at(1), at(3))
}

/// Each value over its neighbour of the same round.
pub(super) fn ratios(values: &[f64], over: &[f64]) -> Vec<f64> {
    values.iter().zip(over).map(|(value, over)| value / over).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_the_middle_half_lies_around_it() {
        for (values, expected) in [
            (&[3.0, 1.0, 2.0][..], 2.0),
            (&[4.0, 1.0, 3.0, 2.0][..], 2.5),
            (&[][..], 0.0),
            (&[7.0][..], 7.0),
        ] {
            assert!((median(values) - expected).abs() < 1e-9, "{values:?}");
            let (low, high) = middle_half(values);
            assert!(low <= expected && expected <= high, "{values:?}");
        }
    }
}
