//! Names for objects that have only the beginning of one. Pure, but for the randomness of a seed.

use keelson_client::backoff::Jitter;

/// Letters and digits that make no words and can't be mistaken for each other.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
/// How many of them are added.
const ADDED: usize = 5;
/// The longest name, so that it fits into a label.
const LONGEST: usize = 63;

/// A name that begins with the prefix, cut to leave room for the rest.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a fraction of 27 is a small positive number"
)]
pub fn generate(prefix: &str, jitter: &mut Jitter) -> String {
    let mut name = prefix.to_owned();
    let most = LONGEST - ADDED;
    if name.len() > most {
        name.truncate(
            (0..=most)
                .rfind(|at| name.is_char_boundary(*at))
                .unwrap_or(0),
        );
    }
    for _ in 0..ADDED {
        let at = (jitter.fraction() * LETTERS.len() as f64) as usize;
        name.push(char::from(LETTERS[at.min(LETTERS.len() - 1)]));
    }
    name
}

#[cfg(test)]
mod tests {
    use keelson_client::backoff::Jitter;

    use super::generate;

    #[test]
    fn names_differ_and_fit() {
        let mut jitter = Jitter::new(1);
        let (one, two) = (generate("web-", &mut jitter), generate("web-", &mut jitter));
        assert!(
            one != two && one.starts_with("web-") && one.len() == 9,
            "{one} {two}"
        );
        let long = generate(&"x".repeat(300), &mut jitter);
        assert_eq!(long.len(), 63);
    }
}
