//! Medians, spread, ratios.

use serde::{Deserialize, Serialize};

/// A median and its spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The middle one.
    pub median: f64,
    /// A quarter is below.
    pub q1: f64,
    /// A quarter is above.
    pub q3: f64,
    /// The lowest.
    pub min: f64,
    /// The highest.
    pub max: f64,
}

impl Spread {
    /// Of at least one value.
    ///
    /// # Panics
    /// Without a value.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Spread {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        assert!(!sorted.is_empty(), "a spread of no values");
        let at = |part: f64| {
            let place = part * (sorted.len() - 1) as f64;
            let (low, high) = (place.floor() as usize, place.ceil() as usize);
            sorted[low] + (sorted[high] - sorted[low]) * (place - low as f64)
        };
        Spread {
            median: at(0.5),
            q1: at(0.25),
            q3: at(0.75),
            min: at(0.0),
            max: at(1.0),
        }
    }

    /// Of the ratios of `values` to `base`, round by round: what disturbs a machine for longer than
    /// a round disturbs both.
    ///
    /// # Panics
    /// Without a value.
    pub(crate) fn of_ratios(values: &[f64], base: &[f64]) -> Spread {
        Spread::of(values.iter().zip(base).map(|(value, base)| value / base))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_values() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0]);
        let expected = Spread {
            median: 2.5,
            q1: 1.75,
            q3: 3.25,
            min: 1.0,
            max: 4.0,
        };
        assert_eq!(spread, expected);
        assert_eq!(Spread::of([7.0]).q3, 7.0);
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        let ratio = Spread::of_ratios(&[10.0, 50.0, 30.0], &[20.0, 100.0, 30.0]);
        assert_eq!((ratio.median, ratio.max), (0.5, 1.0));
    }
}
