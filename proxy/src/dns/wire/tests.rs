//! Messages as bytes: ours, others', and broken ones.

use super::*;
use proptest::prelude::*;

fn asked(text: &str, kind: u16) -> Vec<u8> {
    question(7, &Name::parse(text).unwrap(), kind, false)
}

#[test]
fn a_question_is_read_and_answered_as_it_was_written() {
    let mut message = asked("example.com", kind::A);
    message[13..20].copy_from_slice(b"ExAmPlE");
    let query = Query::read(&message).unwrap();
    assert_eq!(query.name, Name::parse("example.com").unwrap());
    assert_eq!(
        (query.id, query.kind, query.udp_limit()),
        (7, kind::A, 1232)
    );
    let answer = query.answer(Code::NxDomain).finish();
    assert_eq!(&answer[13..20], b"ExAmPlE");
    assert_eq!(
        answer[2..4],
        [0x81, 0x83],
        "an answer, recursion, no such name"
    );
    assert_eq!(answer.len(), message.len(), "options come back");
}

#[test]
fn what_is_no_question() {
    let good = asked("example.com", kind::A);
    let changed = |at: usize, to: u8| {
        let mut message = good.clone();
        message[at] = to;
        Query::read(&message)
    };
    assert_eq!(Query::read(&good[..8]), Err(NoQuery::Silence));
    assert_eq!(changed(2, 0x81), Err(NoQuery::Silence));
    for (at, to, code) in [
        (2, 0x11, Code::NotImp),
        (5, 2, Code::FormErr),
        (12, 0xc0, Code::FormErr),
        (26, 252, Code::Refused),
        (28, 3, Code::Refused),
    ] {
        match changed(at, to) {
            Err(NoQuery::Answer(found, _)) => assert_eq!(found, code, "{at}"),
            other => panic!("{at}: {other:?}"),
        }
    }
}

#[test]
fn what_does_not_fit_is_told() {
    let message = asked("example.com", kind::A);
    let query = Query::read(&message).unwrap();
    let record = Record {
        owner: None,
        ttl: 5,
        data: Data::A([192, 0, 2, 1].into()),
    };
    let mut answer = query.answer(Code::NoError).at_most(100);
    for _ in 0..10 {
        answer.push(Section::Answer, &record);
    }
    let bytes = answer.finish();
    assert!(bytes.len() <= 100);
    assert_ne!(bytes[2] & 2, 0);
    assert_eq!(bytes[7], 3, "12 + 17 + 3 x 16 + 11 bytes");
}

/// example.com CNAME a.example.com (by pointer), A 192.0.2.1; options at the end.
fn relayed() -> Vec<u8> {
    let mut message = asked("example.com", kind::A);
    let options = message.split_off(message.len() - 11);
    message[2] |= 0x80;
    message[7] = 2;
    message.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 100, 0, 4, 1, b'a', 0xc0, 12]);
    message.extend([0xc0, 41, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
    message.extend(options);
    message
}

#[test]
fn an_answer_is_kept_and_sent_on() {
    let asked = asked("example.com", kind::A);
    let kept = Kept::read(&relayed(), &asked).unwrap();
    assert_eq!((kept.ttl, kept.code, kept.positive), (Some(60), 0, true));
    let found: Vec<Record> = kept.addresses(10).collect();
    let alias = Name::parse("a.example.com").unwrap();
    assert_eq!(found[0].data, Data::Cname(alias.clone()));
    assert_eq!((found[1].owner.as_ref(), found[1].ttl), (Some(&alias), 50));
    let mut other = asked.clone();
    other[1] = 9;
    let query = Query::read(&other).unwrap();
    let sent = query.relay(&kept, 10, 1232);
    assert_eq!((sent[1], sent.len()), (9, relayed().len()));
    let again = Kept::read(&sent, &other).unwrap();
    assert_eq!(again.ttl, Some(50));
    let short = query.relay(&kept, 10, 60);
    assert!(short.len() <= 60 && short[2] & 2 != 0);
    assert_eq!(Kept::read(&relayed(), &other), None, "another number");
}

#[test]
fn pointers_lead_to_the_front_only() {
    let asked = asked("example.com", kind::A);
    let mut message = relayed();
    // The pointer of the alias becomes one to itself.
    message[44] = 43;
    let kept = Kept::read(&message, &asked).unwrap();
    assert_eq!(kept.addresses(0).count(), 0);
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0_usize..80, at in 0_usize..80, to: u8) {
        let asked = asked("example.com", kind::A);
        let _ = Query::read(&bytes);
        let _ = Kept::read(&bytes, &asked);
        let mut near = relayed();
        let place = at % near.len();
        near[place] = to;
        near.truncate(near.len() - cut % near.len());
        let _ = Query::read(&near);
        if let Some(kept) = Kept::read(&near, &asked) {
            let query = Query::read(&asked).unwrap();
            let _ = query.relay(&kept, 1, 512);
        }
    }
}
