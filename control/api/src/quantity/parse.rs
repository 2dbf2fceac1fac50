//! Reads the text of a quantity: sign, digits, point, suffix.
//!
//! Must not know how amounts are computed with or written.

use super::{Format, NANO, Quantity, QuantityError, arithmetic};

/// What a suffix stands for.
enum Scale {
    Ten(i32, Format),
    Two(u32),
}

const DECIMAL: [(&str, i32); 10] = [
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];

const BINARY: [(&str, u32); 6] = [
    ("Ki", 10),
    ("Mi", 20),
    ("Gi", 30),
    ("Ti", 40),
    ("Pi", 50),
    ("Ei", 60),
];

/// The suffix of `10^exponent`; empty where there is none.
pub(super) fn decimal_suffix(exponent: i32) -> &'static str {
    DECIMAL
        .iter()
        .find(|(_, e)| *e == exponent)
        .map_or("", |(suffix, _)| suffix)
}

pub(super) fn parse(text: &str) -> Result<Quantity, QuantityError> {
    if text.is_empty() {
        return Err(QuantityError::Form);
    }
    let (negative, body) = match text.as_bytes()[0] {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, rest) = split_digits(body);
    let (fraction, suffix) = match rest.strip_prefix('.') {
        Some(rest) => split_digits(rest),
        None => ("", rest),
    };
    check_suffix_form(suffix)?;
    let scale = interpret(suffix)?;
    let magnitude = magnitude(whole, fraction, scale)?;
    Ok(if negative {
        magnitude.negated()
    } else {
        magnitude
    })
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

/// Letters of known suffixes, then at most one sign, then digits.
fn check_suffix_form(suffix: &str) -> Result<(), QuantityError> {
    let rest = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest);
    match split_digits(rest).1 {
        "" => Ok(()),
        _ => Err(QuantityError::Form),
    }
}

fn interpret(suffix: &str) -> Result<Scale, QuantityError> {
    if let Some((_, exponent)) = DECIMAL.iter().find(|(s, _)| *s == suffix) {
        return Ok(Scale::Ten(*exponent, Format::DecimalSi));
    }
    if let Some((_, exponent)) = BINARY.iter().find(|(s, _)| *s == suffix) {
        return Ok(Scale::Two(*exponent));
    }
    let digits = suffix
        .strip_prefix(['e', 'E'])
        .filter(|rest| !rest.is_empty())
        .ok_or(QuantityError::Suffix)?;
    let exponent: i32 = digits.parse().map_err(|_| QuantityError::Suffix)?;
    // Beyond this no amount means anything, and exponents could no longer be added safely.
    if exponent.unsigned_abs() > 1000 {
        return Err(QuantityError::Suffix);
    }
    Ok(Scale::Ten(exponent, Format::DecimalExponent))
}

fn magnitude(whole: &str, fraction: &str, scale: Scale) -> Result<Quantity, QuantityError> {
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    let (digits, places, truncated) = significant(whole, fraction)?;
    let quantity = match scale {
        Scale::Ten(exponent, format) => {
            Quantity::normal(digits, exponent.saturating_sub(places), format)
        }
        Scale::Two(exponent) => binary(digits, places, exponent),
    };
    Ok(quantity.at_least_nano(truncated))
}

/// The digits as one number, how many of them are behind the point, and whether some that
/// cannot matter were left out.
fn significant(whole: &str, fraction: &str) -> Result<(i128, i32, bool), QuantityError> {
    let room = 38usize.saturating_sub(whole.len());
    let kept = &fraction[..fraction.len().min(room)];
    let truncated = kept.len() < fraction.len();
    let text = format!("{whole}{kept}");
    let digits = if text.is_empty() {
        0
    } else {
        parse_digits(&text)?
    };
    let places = i32::try_from(kept.len()).map_err(|_| QuantityError::Number)?;
    Ok((digits, places, truncated))
}

fn parse_digits(text: &str) -> Result<i128, QuantityError> {
    text.parse().map_err(|_| QuantityError::Number)
}

/// `digits * 10^-places * 2^exponent`, capped at the largest 64-bit integer. Amounts below one
/// are written with decimal suffixes from then on.
fn binary(digits: i128, places: i32, exponent: u32) -> Quantity {
    let cap = Quantity::normal(i128::from(i64::MAX), 0, Format::BinarySi);
    let Some(unscaled) = digits.checked_mul(1i128 << exponent) else {
        return binary_of_long_fraction(digits, places, exponent).unwrap_or(cap);
    };
    let value = Quantity::normal(unscaled, -places, Format::BinarySi);
    if value > cap {
        return cap;
    }
    let below_one = arithmetic::shift_up(1, places).is_some_and(|one| unscaled < one);
    match below_one && unscaled != 0 {
        true => Quantity {
            format: Format::DecimalSi,
            ..value
        },
        false => value,
    }
}

/// Drops digits behind the point until the product fits; they are far below a nano by then.
fn binary_of_long_fraction(mut digits: i128, mut places: i32, exponent: u32) -> Option<Quantity> {
    while places > 0 {
        digits /= 10;
        places -= 1;
        if digits.checked_mul(1i128 << exponent).is_some() {
            return Some(binary(digits, places, exponent));
        }
    }
    None
}

impl Quantity {
    /// Rounds up to a nano, so that whoever asks for something gets something.
    fn at_least_nano(self, truncated: bool) -> Self {
        if self.exponent >= NANO && !truncated {
            return self;
        }
        let floor = arithmetic::shift_down(self.unscaled, NANO.saturating_sub(self.exponent));
        let up = i128::from(truncated || floor.1);
        match self.exponent < NANO {
            true => Self::normal(floor.0 + up, NANO, self.format),
            false => self,
        }
    }
}
