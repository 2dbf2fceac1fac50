//! Virtual servers as bytes, both ways.

use super::*;

fn web() -> Place {
    Place {
        ip: [10, 96, 0, 1].into(),
        protocol: 6,
        port: 80,
    }
}

fn conduct() -> Conduct {
    Conduct {
        scheduler: "rr".into(),
        flags: PERSISTENT,
        stay: 60,
    }
}

fn endpoint() -> Destination {
    Destination {
        ip: [10, 1, 0, 2].into(),
        port: 8080,
        weight: 1,
        connections: 0,
    }
}

#[test]
fn a_virtual_server_is_encoded_so() {
    let message = change(31, &Change::Put(web(), conduct()), How::Make);
    assert_eq!((message.kind, message.flags), (31, 0));
    let expected = "01010000\
        48000180\
        0600010002000000\
        0600020006000000\
        080003000a600001\
        0600040000500000\
        0700060072720000\
        0c00070001000000ffffffff\
        080008003c000000\
        08000900ffffffff";
    assert_eq!(hex::encode(&message.body), expected);
    let altered = change(31, &Change::Put(web(), conduct()), How::Alter);
    assert_eq!(altered.body[0], 2);
    assert_eq!(altered.body[1..], message.body[1..]);
}

#[test]
fn a_real_server_is_encoded_so() {
    let message = change(31, &Change::PutDestination(web(), endpoint()), How::Make);
    let expected = "05010000\
        24000180\
        0600010002000000\
        0600020006000000\
        080003000a600001\
        0600040000500000\
        34000280\
        080001000a010002\
        060002001f900000\
        0800030000000000\
        0800040001000000\
        0800050000000000\
        0800060000000000";
    assert_eq!(hex::encode(&message.body), expected);
    for (one, how, command) in [
        (Change::PutDestination(web(), endpoint()), How::Alter, 6),
        (Change::RemoveDestination(web(), endpoint()), How::Make, 7),
        (Change::Remove(web()), How::Make, 3),
    ] {
        assert_eq!(change(31, &one, how).body[0], command);
    }
}

#[test]
fn what_is_told_is_read_back() {
    for ip in [IpAddr::from([10, 96, 0, 1]), "fd96::1".parse().unwrap()] {
        let place = Place { ip, ..web() };
        let told = change(31, &Change::Put(place, conduct()), How::Make);
        assert_eq!(decode_service(&told), Some((place, conduct())));
        let one = Destination { ip, ..endpoint() };
        let told = change(31, &Change::PutDestination(place, one), How::Make);
        assert_eq!(decode_destination(&told, ip.is_ipv6()), Some(one));
    }
}

/// As the kernel tells: sixteen bytes for every address, flags of its own, connections.
#[test]
fn the_kernels_own_words_are_read() {
    let mut body = header(NEW_SERVICE, VERSION);
    let wide = [&[10, 96, 0, 1][..], &[0; 12]].concat();
    body.nested(SERVICE, |nest| {
        nest.u16(SERVICE_FAMILY, INET)
            .u16(SERVICE_PROTOCOL, 17)
            .attr(SERVICE_ADDRESS, &wide)
            .be16(SERVICE_PORT, 53)
            .text(SERVICE_SCHEDULER, "rr")
            .attr(SERVICE_FLAGS, &[2, 0, 0, 0, 255, 255, 255, 255])
            .u32(SERVICE_TIMEOUT, 360);
    });
    let (place, conduct) = decode_service(&Message::new(31, 0, body)).unwrap();
    assert_eq!((place.ip, place.port), ([10, 96, 0, 1].into(), 53));
    assert_eq!((conduct.flags, conduct.stay), (0, 0));
    let mut body = header(NEW_DESTINATION, VERSION);
    body.nested(DESTINATION, |nest| {
        nest.attr(DESTINATION_ADDRESS, &wide)
            .be16(DESTINATION_PORT, 53)
            .u32(DESTINATION_WEIGHT, 0)
            .u32(DESTINATION_ACTIVE, 2)
            .u32(DESTINATION_INACTIVE, 3);
    });
    let read = decode_destination(&Message::new(31, 0, body), false).unwrap();
    assert_eq!((read.weight, read.connections), (0, 5));
    let mut marked = header(NEW_SERVICE, VERSION);
    marked.nested(SERVICE, |nest| {
        nest.u16(SERVICE_FAMILY, INET).u32(5, 77);
    });
    assert_eq!(decode_service(&Message::new(31, 0, marked)), None);
}
