//! `resource.Quantity`: an exact decimal with the suffixes that resource amounts are written in.
//!
//! Decides how amounts are read, compared, added, rounded and written back in canonical form.
//! It never goes through floating point, and knows nothing of which resource is counted.

mod arithmetic;
mod parse;

use std::fmt;
use std::str::FromStr;

use crate::WireQuantity;

/// The smallest decimal exponent that is kept: amounts finer than a nano are rounded up.
const NANO: i32 = -9;

/// How a quantity was written, and so how it is written back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// `12e6`
    DecimalExponent,
    /// `12Mi`: powers of 1024.
    BinarySi,
    /// `12M`: powers of 1000.
    #[default]
    DecimalSi,
}

/// An exact amount of something: `unscaled * 10^exponent`.
///
/// Equality and order compare the amount alone: `1024Ki` equals `1Mi`. Amounts keep up to 38
/// significant digits; what cannot be held saturates, which no real resource reaches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    unscaled: i128,
    exponent: i32,
    format: Format,
}

/// Why a text is not a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// The text is not a number followed by a suffix.
    #[error(
        "quantities must match the regular expression \
         '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    )]
    Form,
    /// The number in front of the suffix is malformed or has too many digits.
    #[error("unable to parse numeric part of quantity")]
    Number,
    /// The suffix is none of `n u m k M G T P E Ki Mi Gi Ti Pi Ei`, nor an exponent.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

impl Quantity {
    /// Nothing, written as `0`.
    pub const ZERO: Self = Self {
        unscaled: 0,
        exponent: 0,
        format: Format::DecimalSi,
    };

    /// `value * 10^exponent`, written in `format`.
    #[must_use]
    pub fn new(value: i64, exponent: i32, format: Format) -> Self {
        Self::normal(i128::from(value), exponent, format)
    }

    /// Whole units with decimal suffixes, as pods and cores are counted.
    #[must_use]
    pub fn from_units(value: i64) -> Self {
        Self::new(value, 0, Format::DecimalSi)
    }

    /// Thousandths of a unit, as CPU time is counted.
    #[must_use]
    pub fn from_milli(value: i64) -> Self {
        Self::new(value, -3, Format::DecimalSi)
    }

    /// Bytes with binary suffixes, as memory and storage are counted.
    #[must_use]
    pub fn from_bytes(value: i64) -> Self {
        Self::new(value, 0, Format::BinarySi)
    }

    /// Reads an amount such as `100m`, `1.5Gi` or `2e3`.
    ///
    /// # Errors
    /// See [`QuantityError`]; surrounding white space is not part of a quantity.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        parse::parse(text)
    }

    /// How this amount is written.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether the amount is nothing.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.unscaled == 0
    }

    /// -1, 0 or 1.
    #[must_use]
    pub fn signum(&self) -> i32 {
        match self.unscaled {
            0 => 0,
            n if n < 0 => -1,
            _ => 1,
        }
    }

    /// The text in canonical form: no precision lost, no fraction, the largest suffix that fits.
    fn canonical(&self) -> String {
        if self.is_zero() {
            return "0".to_owned();
        }
        match self.format {
            Format::BinarySi => self
                .canonical_binary()
                .unwrap_or_else(|| self.canonical_decimal(Format::DecimalSi)),
            format => self.canonical_decimal(format),
        }
    }

    /// Binary form where it is exact and at least 1024 in magnitude.
    fn canonical_binary(&self) -> Option<String> {
        let mut value = self.exact_units()?;
        if value.unsigned_abs() < 1024 {
            return None;
        }
        let suffixes = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
        let mut step = 0;
        while value % 1024 == 0 && step + 1 < suffixes.len() {
            value /= 1024;
            step += 1;
        }
        Some(format!("{value}{}", suffixes[step]))
    }

    /// Decimal form with an exponent that is a multiple of three.
    fn canonical_decimal(&self, format: Format) -> String {
        let mut exponent = self.exponent.div_euclid(3) * 3;
        if format == Format::DecimalSi {
            exponent = exponent.min(18);
        }
        let shift = self.exponent - exponent;
        let mantissa = arithmetic::shift_up(self.unscaled, shift).unwrap_or(self.unscaled);
        if format == Format::DecimalExponent {
            return match exponent {
                0 => mantissa.to_string(),
                e => format!("{mantissa}e{e}"),
            };
        }
        format!("{mantissa}{}", parse::decimal_suffix(exponent))
    }

    /// This amount as it travels in an object.
    #[must_use]
    pub fn to_wire(&self) -> WireQuantity {
        WireQuantity(self.canonical())
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.canonical())
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<&WireQuantity> for Quantity {
    type Error = QuantityError;

    fn try_from(wire: &WireQuantity) -> Result<Self, Self::Error> {
        Self::parse(wire.0.trim())
    }
}

impl From<Quantity> for WireQuantity {
    fn from(quantity: Quantity) -> Self {
        quantity.to_wire()
    }
}

#[cfg(test)]
mod tests;
