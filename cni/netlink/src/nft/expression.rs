//! What a rule computes, expression by expression, as the kernel's virtual machine wants it. Pure.

use std::net::IpAddr;

use crate::wire::{Body, ip_bytes};

const LIST_ELEM: u16 = 1;
const EXPR_NAME: u16 = 1;
const EXPR_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;
const REG_VERDICT: u32 = 0;
const REG_FIRST: u32 = 8;
const FIB_SOURCE: u32 = 1;
const FIB_DESTINATION: u32 = 2;
const RANDOM_PORT: u32 = 1 << 4;
const REJECT_TCP_RESET: u32 = 1;
const UNREACHABLE_PORT_V4: u8 = 3;
const UNREACHABLE_PORT_V6: u8 = 4;
const DYNSET_UPDATE: u32 = 1;
const DYNSET_DELETE: u32 = 2;

/// One of the sixteen 4-byte registers; longer values take the following ones too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register(pub u8);

impl Register {
    fn number(self) -> u32 {
        REG_FIRST + u32::from(self.0)
    }
}

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Go on where equal.
    Equal,
    /// Go on where different.
    NotEqual,
}

/// Where a chain sends a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Drop it.
    Drop,
    /// Let it pass this hook.
    Accept,
    /// Back to the calling chain.
    Return,
    /// On in another chain, and back after it.
    Jump(String),
    /// On in another chain, for good.
    Goto(String),
}

/// A step of a rule. Where a step does not match, the rule ends there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// Address family of the packet (one byte).
    NfProtocol(Register),
    /// Transport protocol (one byte).
    L4Protocol(Register),
    /// Name of the incoming interface (16 bytes).
    InputName(Register),
    /// Source hardware address (6 bytes).
    EtherSource(Register),
    /// Source or destination address of an IP header.
    Address {
        /// Register that takes the address.
        to: Register,
        /// IPv6 header?
        v6: bool,
        /// Source rather than destination?
        source: bool,
    },
    /// Destination port of TCP, UDP or SCTP (2 bytes).
    DestinationPort(Register),
    /// Kind of the destination address: sets the register to a route type number.
    DestinationType(Register),
    /// Kind of the source address: sets the register to a route type number.
    SourceType(Register),
    /// Goes on where the register compares so with the value.
    Compare(Register, Comparison, Vec<u8>),
    /// Cuts an address down to its network.
    Mask(Register, IpAddr),
    /// Goes on where the key is in the set (or, inverted, is not).
    InSet {
        /// The set's name.
        set: String,
        /// First register of the key.
        key: Register,
        /// Go on where it is not in the set.
        inverted: bool,
    },
    /// Loads what the map has for the key.
    FromMap {
        /// The map's name.
        map: String,
        /// First register of the key.
        key: Register,
        /// First register that takes the value.
        to: Register,
    },
    /// Follows the verdict that the map has for the key.
    VerdictMap {
        /// The map's name.
        map: String,
        /// First register of the key.
        key: Register,
    },
    /// Sends the packet somewhere.
    Verdict(Verdict),
    /// Rewrites the destination.
    DestinationNat {
        /// IPv6?
        v6: bool,
        /// Register of the new address.
        addr: Register,
        /// Register of the new port.
        port: Register,
    },
    /// Rewrites the source to the outgoing interface's address.
    Masquerade,
    /// The same with a random port, so that two new flows seldom race for one.
    MasqueradeRandomly,
    /// The packet's mark (4 bytes, the machine's order).
    Mark(Register),
    /// Sets the packet's mark from a register.
    SetMark(Register),
    /// State of the packet's flow as a bit (4 bytes, the machine's order): see [`STATE_NEW`].
    FlowState(Register),
    /// `register = (register & mask) ^ flip`, in the machine's order.
    Bits {
        /// The register.
        register: Register,
        /// What to keep.
        mask: u32,
        /// What to flip afterwards.
        flip: u32,
    },
    /// A random number from `offset` on, below `offset + modulus` (4 bytes, the machine's order).
    Random {
        /// Register that takes the number.
        to: Register,
        /// How many numbers there are; not 0.
        modulus: u32,
        /// The lowest.
        offset: u32,
    },
    /// Changes a dynamic map: see [`Remember`].
    Remember(Remember),
    /// Refuses a packet of TCP with a reset.
    Reset,
    /// Refuses the packet with an ICMP message: port unreachable.
    Reject {
        /// In a table of IPv6?
        v6: bool,
    },
    /// Counts packets and bytes.
    Counter,
}

/// What a rule writes into a dynamic map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remember {
    /// The map's name.
    pub map: String,
    /// First register of the key.
    pub key: Register,
    /// First register of the value.
    pub value: Register,
    /// How long the element lives; `None` removes it. Where the key is there, only its time starts
    /// again: the value stays.
    pub seconds: Option<u32>,
}

/// A flow of which this is the first packet, as [`Expression::FlowState`] sets it.
pub const STATE_NEW: u32 = 1 << 3;
/// A packet that belongs to no flow.
pub const STATE_INVALID: u32 = 1;

/// Route type of local addresses, as [`Expression::DestinationType`] sets it.
pub const TYPE_LOCAL: u32 = 2;

/// Writes the list of expressions as the content of a rule's expression attribute.
pub fn write_list(expressions: &[Expression], body: &mut Body) {
    for expression in expressions {
        body.nested(LIST_ELEM, |list| expression.write(list));
    }
}

impl Expression {
    fn write(&self, body: &mut Body) {
        match self {
            Self::NfProtocol(to) => meta(body, *to, 15),
            Self::L4Protocol(to) => meta(body, *to, 16),
            Self::InputName(to) => meta(body, *to, 6),
            Self::EtherSource(to) => payload(body, *to, 0, 6, 6),
            Self::Address { to, v6, source } => {
                let (offset, length) = match (v6, source) {
                    (false, true) => (12, 4),
                    (false, false) => (16, 4),
                    (true, true) => (8, 16),
                    (true, false) => (24, 16),
                };
                payload(body, *to, 1, offset, length);
            }
            Self::DestinationPort(to) => payload(body, *to, 2, 2, 2),
            Self::DestinationType(to) => address_type(body, *to, FIB_DESTINATION),
            Self::SourceType(to) => address_type(body, *to, FIB_SOURCE),
            Self::Compare(register, how, value) => named(body, "cmp", |data| {
                data.be32(1, register.number())
                    .be32(2, u32::from(*how == Comparison::NotEqual))
                    .nested(3, |nest| {
                        nest.attr(DATA_VALUE, value);
                    });
            }),
            Self::Mask(register, mask) => write_mask(body, *register, *mask),
            Self::InSet { set, key, inverted } => {
                lookup(body, set, *key, None, u32::from(*inverted));
            }
            Self::FromMap { map, key, to } => lookup(body, map, *key, Some(to.number()), 0),
            Self::VerdictMap { map, key } => lookup(body, map, *key, Some(REG_VERDICT), 0),
            Self::Verdict(verdict) => named(body, "immediate", |data| {
                data.be32(1, REG_VERDICT)
                    .nested(2, |nest| verdict.write(nest));
            }),
            Self::DestinationNat { v6, addr, port } => named(body, "nat", |data| {
                data.be32(1, 1)
                    .be32(2, if *v6 { 10 } else { 2 })
                    .be32(3, addr.number())
                    .be32(5, port.number());
            }),
            Self::Masquerade => named(body, "masq", |_| {}),
            Self::MasqueradeRandomly => named(body, "masq", |data| {
                data.be32(1, RANDOM_PORT);
            }),
            Self::Mark(to) => meta(body, *to, 3),
            Self::SetMark(from) => named(body, "meta", |data| {
                data.be32(2, 3).be32(3, from.number());
            }),
            Self::FlowState(to) => named(body, "ct", |data| {
                data.be32(1, to.number()).be32(2, 0);
            }),
            Self::Bits {
                register,
                mask,
                flip,
            } => write_bits(body, *register, &mask.to_ne_bytes(), &flip.to_ne_bytes()),
            Self::Random {
                to,
                modulus,
                offset,
            } => named(body, "numgen", |data| {
                data.be32(1, to.number())
                    .be32(2, *modulus)
                    .be32(3, 1)
                    .be32(4, *offset);
            }),
            Self::Remember(remember) => write_remember(body, remember),
            Self::Counter => named(body, "counter", |_| {}),
            Self::Reset => reject(body, REJECT_TCP_RESET, None),
            Self::Reject { v6: false } => reject(body, 0, Some(UNREACHABLE_PORT_V4)),
            Self::Reject { v6: true } => reject(body, 0, Some(UNREACHABLE_PORT_V6)),
        }
    }
}

impl Verdict {
    /// Writes the verdict as the content of a data attribute.
    pub fn write(&self, body: &mut Body) {
        let (code, chain) = match self {
            Self::Drop => (0_i32, None),
            Self::Accept => (1, None),
            Self::Return => (-5, None),
            Self::Jump(chain) => (-3, Some(chain)),
            Self::Goto(chain) => (-4, Some(chain)),
        };
        body.nested(DATA_VERDICT, |nest| {
            nest.attr(VERDICT_CODE, &code.to_be_bytes());
            if let Some(chain) = chain {
                nest.text(VERDICT_CHAIN, chain);
            }
        });
    }
}

fn named(body: &mut Body, name: &str, fill: impl FnOnce(&mut Body)) {
    body.text(EXPR_NAME, name).nested(EXPR_DATA, fill);
}

fn meta(body: &mut Body, to: Register, key: u32) {
    named(body, "meta", |data| {
        data.be32(2, key).be32(1, to.number());
    });
}

fn address_type(body: &mut Body, to: Register, of: u32) {
    named(body, "fib", |data| {
        data.be32(1, to.number()).be32(2, 3).be32(3, of);
    });
}

fn payload(body: &mut Body, to: Register, base: u32, offset: u32, length: u32) {
    named(body, "payload", |data| {
        data.be32(1, to.number())
            .be32(2, base)
            .be32(3, offset)
            .be32(4, length);
    });
}

fn reject(body: &mut Body, kind: u32, code: Option<u8>) {
    named(body, "reject", |data| {
        data.be32(1, kind);
        if let Some(code) = code {
            data.u8(2, code);
        }
    });
}

fn lookup(body: &mut Body, set: &str, key: Register, to: Option<u32>, flags: u32) {
    named(body, "lookup", |data| {
        data.text(1, set).be32(2, key.number());
        if let Some(to) = to {
            data.be32(3, to);
        }
        if flags != 0 {
            data.be32(5, flags);
        }
    });
}

fn write_mask(body: &mut Body, register: Register, mask: IpAddr) {
    let bytes = ip_bytes(mask);
    write_bits(body, register, &bytes, &vec![0; bytes.len()]);
}

fn write_bits(body: &mut Body, register: Register, mask: &[u8], flip: &[u8]) {
    let length = u32::try_from(mask.len()).unwrap_or(u32::MAX);
    named(body, "bitwise", |data| {
        data.be32(1, register.number())
            .be32(2, register.number())
            .be32(3, length)
            .nested(4, |nest| {
                nest.attr(DATA_VALUE, mask);
            })
            .nested(5, |nest| {
                nest.attr(DATA_VALUE, flip);
            });
    });
}

fn write_remember(body: &mut Body, remember: &Remember) {
    let operation = if remember.seconds.is_some() {
        DYNSET_UPDATE
    } else {
        DYNSET_DELETE
    };
    named(body, "dynset", |data| {
        data.text(1, &remember.map)
            .be32(3, operation)
            .be32(4, remember.key.number())
            .be32(5, remember.value.number());
        if let Some(seconds) = remember.seconds {
            data.be64(6, u64::from(seconds) * 1000);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &Expression, expected: &str) {
        let mut body = Body::default();
        expression.write(&mut body);
        let expected: String = expected.split_whitespace().collect();
        assert_eq!(hex::encode(body.as_bytes()), expected, "{expression:?}");
    }

    #[test]
    fn expressions_are_encoded_so() {
        check(
            &Expression::L4Protocol(Register(1)),
            "09000100 6d657461 00000000 14000280 0800020000000010 0800010000000009",
        );
        check(
            &Expression::Address {
                to: Register(0),
                v6: false,
                source: false,
            },
            "0c000100 7061796c6f616400 24000280 0800010000000008 0800020000000001
             0800030000000010 0800040000000004",
        );
        check(
            &Expression::DestinationType(Register(0)),
            "08000100 66696200 1c000280 0800010000000008 0800020000000003 0800030000000002",
        );
        check(
            &Expression::InSet {
                set: "s".into(),
                key: Register(0),
                inverted: true,
            },
            "0b000100 6c6f6f6b75700000 1c000280 0600010073000000 0800020000000008
             0800050000000001",
        );
        check(
            &Expression::VerdictMap {
                map: "m".into(),
                key: Register(0),
            },
            "0b000100 6c6f6f6b75700000 1c000280 060001006d000000 0800020000000008
             0800030000000000",
        );
        check(
            &Expression::DestinationNat {
                v6: true,
                addr: Register(0),
                port: Register(4),
            },
            "08000100 6e617400 24000280 0800010000000001 080002000000000a
             0800030000000008 080005000000000c",
        );
        check(
            &Expression::Verdict(Verdict::Return),
            "0e000100 696d6d6564696174 65000000 1c000280 0800010000000000
             10000280 0c000280 08000100fffffffb",
        );
        check(
            &Expression::Compare(Register(0), Comparison::NotEqual, vec![2]),
            "08000100 636d7000 20000280 0800010000000008 0800020000000001
             0c000380 0500010002000000",
        );
        check(
            &Expression::Random {
                to: Register(3),
                modulus: 5,
                offset: 7,
            },
            "0b000100 6e756d67656e0000 24000280 080001000000000b 0800020000000005
             0800030000000001 0800040000000007",
        );
        check(
            &Expression::Remember(Remember {
                map: "m".into(),
                key: Register(0),
                value: Register(4),
                seconds: Some(10),
            }),
            "0b000100 64796e7365740000 30000280 060001006d000000 0800030000000001
             0800040000000008 080005000000000c 0c0006000000000000002710",
        );
        check(
            &Expression::Masquerade,
            "09000100 6d617371 00000000 04000280",
        );
    }
}
