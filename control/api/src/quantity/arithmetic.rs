//! Computing with quantities: normal form, order, sums, rounding.
//!
//! Must not know how quantities are written.

use std::cmp::Ordering;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};

use super::{Format, Quantity};

/// `value * 10^places`, if it can be held. Negative `places` is a caller's mistake and gives
/// `value` back only when it is zero.
pub(super) fn shift_up(value: i128, places: i32) -> Option<i128> {
    if value == 0 {
        return Some(0);
    }
    let places = u32::try_from(places).ok()?;
    value.checked_mul(10i128.checked_pow(places)?)
}

/// `value / 10^places` towards zero, and whether something was lost.
pub(super) fn shift_down(value: i128, places: i32) -> (i128, bool) {
    let Ok(places) = u32::try_from(places) else {
        return (value, false);
    };
    match 10i128.checked_pow(places) {
        Some(divisor) => (value / divisor, value % divisor != 0),
        None => (0, value != 0),
    }
}

fn saturate(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

impl Quantity {
    /// Normal form: no trailing zeros in `unscaled`, and exponent 0 for zero.
    pub(super) fn normal(mut unscaled: i128, mut exponent: i32, format: Format) -> Self {
        if unscaled == 0 {
            exponent = 0;
        }
        while unscaled != 0 && unscaled % 10 == 0 {
            unscaled /= 10;
            exponent += 1;
        }
        Self {
            unscaled,
            exponent,
            format,
        }
    }

    /// The same amount with the other sign.
    #[must_use]
    pub fn negated(self) -> Self {
        Self {
            unscaled: -self.unscaled,
            ..self
        }
    }

    /// Whole units, if the amount is whole and fits.
    pub(super) fn exact_units(&self) -> Option<i128> {
        if self.exponent < 0 {
            return None;
        }
        shift_up(self.unscaled, self.exponent)
    }

    /// Whole units, rounded away from zero; saturates at the ends of `i64`.
    #[must_use]
    pub fn value(&self) -> i64 {
        self.scaled_value(0)
    }

    /// Thousandths, rounded away from zero; saturates at the ends of `i64`.
    #[must_use]
    pub fn milli_value(&self) -> i64 {
        self.scaled_value(-3)
    }

    /// The amount counted in units of `10^exponent`, rounded away from zero.
    #[must_use]
    pub fn scaled_value(&self, exponent: i32) -> i64 {
        let places = self.exponent.saturating_sub(exponent);
        if places >= 0 {
            let limit = if self.unscaled < 0 {
                i128::MIN
            } else {
                i128::MAX
            };
            return saturate(shift_up(self.unscaled, places).unwrap_or(limit));
        }
        let (whole, lost) = shift_down(self.unscaled, places.saturating_neg());
        saturate(whole + i128::from(lost) * self.unscaled.signum())
    }

    /// The amount as a floating point number, which may lose precision.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "approximate is what is asked for"
    )]
    pub fn approximate(&self) -> f64 {
        self.unscaled as f64 * 10f64.powi(self.exponent)
    }

    /// Rounds away from zero to a multiple of `10^exponent`.
    #[must_use]
    pub fn rounded_up(self, exponent: i32) -> Self {
        if self.exponent >= exponent {
            return self;
        }
        let (whole, lost) = shift_down(self.unscaled, exponent.saturating_sub(self.exponent));
        let unscaled = whole + i128::from(lost) * self.unscaled.signum();
        Self::normal(unscaled, exponent, self.format)
    }

    /// The amount times `factor`; saturates where the product cannot be held.
    #[must_use]
    pub fn times(self, factor: i64) -> Self {
        let limit = if (self.unscaled < 0) == (factor < 0) {
            i128::MAX
        } else {
            i128::MIN + 1
        };
        let unscaled = self
            .unscaled
            .checked_mul(i128::from(factor))
            .unwrap_or(limit);
        Self::normal(unscaled, self.exponent, self.format)
    }

    /// Both amounts over one exponent. `None` where they are too far apart to be held so.
    fn aligned(&self, other: &Self) -> Option<(i128, i128, i32)> {
        let exponent = if self.is_zero() {
            other.exponent
        } else if other.is_zero() {
            self.exponent
        } else {
            self.exponent.min(other.exponent)
        };
        let ours = shift_up(self.unscaled, self.exponent - exponent);
        let theirs = shift_up(other.unscaled, other.exponent - exponent);
        Some((ours?, theirs?, exponent))
    }

    /// The sum, written as the left amount is unless that is zero.
    fn plus(self, other: Self) -> Self {
        let format = if self.is_zero() {
            other.format
        } else {
            self.format
        };
        let sum = self
            .aligned(&other)
            .and_then(|(a, b, exponent)| Some((a.checked_add(b)?, exponent)));
        match sum {
            Some((unscaled, exponent)) => Self::normal(unscaled, exponent, format),
            None => Self {
                format,
                ..self.dominant(other)
            },
        }
    }

    /// The larger magnitude of two that cannot be held together.
    fn dominant(self, other: Self) -> Self {
        if self.exponent >= other.exponent {
            self
        } else {
            other
        }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.unscaled == other.unscaled && self.exponent == other.exponent
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        let signs = self.signum().cmp(&other.signum());
        if signs != Ordering::Equal {
            return signs;
        }
        match self.aligned(other) {
            Some((ours, theirs, _)) => ours.cmp(&theirs),
            // Too far apart to align: the higher exponent has the greater magnitude.
            None if self.signum() < 0 => other.exponent.cmp(&self.exponent),
            None => self.exponent.cmp(&other.exponent),
        }
    }
}

impl std::hash::Hash for Quantity {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.unscaled, self.exponent).hash(state);
    }
}

impl Neg for Quantity {
    type Output = Self;

    fn neg(self) -> Self {
        self.negated()
    }
}

impl Add for Quantity {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.plus(other)
    }
}

impl Sub for Quantity {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.plus(other.negated())
    }
}

impl AddAssign for Quantity {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Quantity {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl std::iter::Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}
