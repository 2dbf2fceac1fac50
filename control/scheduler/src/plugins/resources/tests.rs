//! Scores of what would be used.

use super::strategy::{Strategy, balance};

#[test]
fn scores_of_one_resource() {
    let check = |strategy: Strategy, used, has, expected| {
        assert_eq!(
            strategy.score(used, has),
            expected,
            "{strategy:?} {used}/{has}"
        );
    };
    check(Strategy::Least, 0, 4000, 100);
    check(Strategy::Least, 3000, 4000, 25);
    check(Strategy::Least, 5000, 4000, 0);
    check(Strategy::Most, 3000, 4000, 75);
    check(Strategy::Most, 5000, 4000, 100);
    let shape = vec![(0, 0), (50, 100), (100, 20)];
    check(Strategy::Ratio(shape.clone()), 1000, 4000, 50);
    check(Strategy::Ratio(shape.clone()), 3000, 4000, 60);
    check(Strategy::Ratio(shape), 9000, 4000, 20);
    check(Strategy::Least, i64::MAX / 2, i64::MAX, 50);
}

#[test]
fn balance_is_full_where_all_shares_are_equal() {
    assert_eq!(balance(&[0.5, 0.5]), 100);
    assert_eq!(balance(&[0.0, 1.0]), 50);
    assert_eq!(balance(&[0.3]), 100);
    assert_eq!(balance(&[0.2, 0.2, 0.2]), 100);
}
