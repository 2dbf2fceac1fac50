//! Quantities against upstream's documented results, and properties of the arithmetic.

use proptest::prelude::*;

use super::{Format, Quantity, QuantityError};

fn check_canonical(input: &str, expected: &str) {
    let parsed = Quantity::parse(input).unwrap_or_else(|e| panic!("{input}: {e}"));
    assert_eq!(parsed.to_string(), expected, "canonical form of {input}");
}

#[test]
fn writes_the_canonical_form() {
    let cases = [
        ("0", "0"),
        ("0n", "0"),
        ("0Ki", "0"),
        ("-0", "0"),
        ("+", "0"),
        (".", "0"),
        ("m", "0"),
        ("1", "1"),
        ("1.5", "1500m"),
        ("1.5Gi", "1536Mi"),
        ("0.5Gi", "512Mi"),
        ("100m", "100m"),
        ("1000m", "1"),
        ("1000000", "1M"),
        ("1024", "1024"),
        ("1024Ki", "1Mi"),
        ("1000Ki", "1000Ki"),
        ("500Mi", "500Mi"),
        ("0.5", "500m"),
        (".5", "500m"),
        ("5.", "5"),
        ("1.G", "1G"),
        ("00010", "10"),
        ("+1k", "1k"),
        ("-1Ki", "-1Ki"),
        ("-1.5", "-1500m"),
        ("1e3", "1e3"),
        ("1E3", "1e3"),
        ("1e14", "100e12"),
        ("1E-3", "1e-3"),
        ("1e0", "1"),
        ("12e2", "1200"),
        ("100.035k", "100035"),
        ("0.1n", "1n"),
        ("1.1n", "2n"),
        ("0.0000000001", "1n"),
        ("9Ei", "9223372036854775807"),
        ("9223372036854775807Ki", "9223372036854775807"),
        ("0.001Ki", "1024m"),
        ("0.0001Ki", "102400u"),
        ("1Ei", "1Ei"),
        ("3E", "3E"),
        ("1000E", "1000E"),
        ("123456789n", "123456789n"),
        ("0.1Mi", "104857600m"),
        ("1.1Ki", "1126400m"),
        ("512", "512"),
        ("1e18", "1e18"),
    ];
    for (input, expected) in cases {
        check_canonical(input, expected);
    }
}

#[test]
fn refuses_what_is_not_a_quantity() {
    let cases = [
        ("", QuantityError::Form),
        ("1.1.M", QuantityError::Form),
        ("1Mib", QuantityError::Form),
        ("1 Mi", QuantityError::Form),
        (" 1", QuantityError::Form),
        ("abc", QuantityError::Form),
        ("1+1.0M", QuantityError::Form),
        ("0x10", QuantityError::Form),
        ("1mi", QuantityError::Suffix),
        ("1K", QuantityError::Suffix),
        ("1kk", QuantityError::Suffix),
        ("1e", QuantityError::Suffix),
        ("1Ki3", QuantityError::Suffix),
        ("1e99999", QuantityError::Suffix),
        (
            "999999999999999999999999999999999999999999",
            QuantityError::Number,
        ),
    ];
    for (input, expected) in cases {
        assert_eq!(Quantity::parse(input).unwrap_err(), expected, "{input:?}");
    }
}

#[test]
fn rounds_away_from_zero_to_whole_numbers() {
    let cases = [
        ("1.1", 2, 1100),
        ("-1.1", -2, -1100),
        ("100m", 1, 100),
        ("1n", 1, 1),
        ("-1n", -1, -1),
        ("1Gi", 1 << 30, 1000 << 30),
        ("0", 0, 0),
        ("1500m", 2, 1500),
        ("9Ei", i64::MAX, i64::MAX),
    ];
    for (input, value, milli) in cases {
        let quantity = Quantity::parse(input).unwrap();
        assert_eq!(quantity.value(), value, "value of {input}");
        assert_eq!(quantity.milli_value(), milli, "milli value of {input}");
    }
}

#[test]
fn compares_and_adds_across_formats() {
    let q = |text: &str| Quantity::parse(text).unwrap();
    assert_eq!(q("1024Ki"), q("1Mi"));
    assert_eq!(q("1000m"), q("1"));
    assert!(q("100m") > q("50m"));
    assert!(q("10000T") > q("100Gi"));
    assert!(q("-1e30") < q("1n"));
    assert!(q("1e200") > q("1n"));
    assert!(q("-1e200") < q("-1n"));
    assert_eq!((q("0") + q("1Ki")).to_string(), "1Ki");
    assert_eq!((q("1Gi") + q("512Mi")).to_string(), "1536Mi");
    assert_eq!((q("500m") + q("1")).to_string(), "1500m");
    assert_eq!((q("1") - q("100m")).to_string(), "900m");
    assert_eq!(q("1.3").rounded_up(0).to_string(), "2");
    assert_eq!(Quantity::from_milli(2500).times(2).to_string(), "5");
}

fn any_quantity() -> impl Strategy<Value = Quantity> {
    let format = prop_oneof![
        Just(Format::DecimalSi),
        Just(Format::BinarySi),
        Just(Format::DecimalExponent)
    ];
    (any::<i64>(), -9..6i32, format).prop_map(|(v, e, f)| Quantity::new(v, e, f))
}

proptest! {
    #[test]
    fn never_panics_on_any_text(text in "\\PC{0,40}") {
        let _ = Quantity::parse(&text);
    }

    #[test]
    fn never_panics_near_the_grammar(text in "[+-]?[0-9.]{0,60}[eEinumkKMGTP]{0,2}[-+]?[0-9]{0,6}") {
        if let Ok(quantity) = Quantity::parse(&text) {
            let _ = (quantity.to_string(), quantity.value(), quantity.milli_value());
        }
    }

    #[test]
    fn canonical_text_reads_back_as_the_same_amount(quantity in any_quantity()) {
        let text = quantity.to_string();
        let back = Quantity::parse(&text).unwrap();
        // Text with a binary suffix is cut at the largest signed 64-bit number, as upstream reads it.
        let cut = quantity.format() == Format::BinarySi && back.value() == i64::MAX;
        prop_assert!(back == quantity || cut, "{}", text);
    }

    #[test]
    fn sums_commute_and_undo(a in any_quantity(), b in any_quantity()) {
        prop_assert_eq!(a + b, b + a);
        prop_assert_eq!(a + b - b, a);
    }

    #[test]
    fn order_agrees_with_difference(a in any_quantity(), b in any_quantity()) {
        prop_assert_eq!(a.cmp(&b), (a - b).signum().cmp(&0));
    }
}
