//! How much a node is liked for what would be used of it.

use crate::framework::MAX_SCORE;

/// Which nodes are liked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Those of which least is used: pods are spread.
    Least,
    /// Those of which most is used: nodes are filled.
    Most,
    /// By a curve: percent of use, and the score from 0 to 100 there.
    Ratio(Vec<(i64, i64)>),
}

impl Strategy {
    /// The score of one resource.
    #[must_use]
    pub fn score(&self, used: i64, has: i64) -> i64 {
        match self {
            Self::Least if used > has => 0,
            Self::Least => scaled(has - used, has),
            Self::Most => scaled(used.min(has), has),
            Self::Ratio(shape) => {
                let percent = if used > has { 100 } else { scaled(used, has) };
                curve(shape, percent)
            }
        }
    }

    /// The mean of weighted scores.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "scores are small"
    )]
    pub fn mean(&self, sum: i64, weights: i64) -> i64 {
        if weights == 0 {
            return 0;
        }
        match self {
            Self::Ratio(_) => (sum as f64 / weights as f64).round() as i64,
            Self::Least | Self::Most => sum / weights,
        }
    }
}

/// A hundred times a part of a whole, rounded down, without overflow.
fn scaled(part: i64, whole: i64) -> i64 {
    let scaled = i128::from(part) * i128::from(MAX_SCORE) / i128::from(whole);
    i64::try_from(scaled).unwrap_or(0)
}

/// The height of a broken line.
fn curve(shape: &[(i64, i64)], at: i64) -> i64 {
    let Some((first, last)) = shape.first().zip(shape.last()) else {
        return 0;
    };
    if at <= first.0 {
        return first.1;
    }
    let mut pieces = shape.windows(2);
    let piece = pieces.find(|piece| at <= piece[1].0);
    piece.map_or(last.1, |piece| {
        let ((from, low), (to, high)) = (piece[0], piece[1]);
        low + (high - low) * (at - from) / (to - from)
    })
}

/// A part of a whole.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "a share needs no more precision"
)]
pub fn share(part: i64, whole: i64) -> f64 {
    part as f64 / whole as f64
}

/// 100 where all shares are equal, less the more they deviate from their mean.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the result is between 0 and 100"
)]
pub fn balance(shares: &[f64]) -> i64 {
    let deviation = match shares {
        [] | [_] => 0.0,
        [a, b] => ((a - b) / 2.0).abs(),
        all => {
            let count = all.len() as f64;
            let mean = all.iter().sum::<f64>() / count;
            let squares = all.iter().map(|share| (share - mean) * (share - mean));
            (squares.sum::<f64>() / count).sqrt()
        }
    };
    ((1.0 - deviation) * MAX_SCORE as f64) as i64
}
