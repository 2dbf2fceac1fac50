//! Routes: the kinds of Services there are, each with a chain that all Services of the kind share.
//! Pure.

use keelson_netlink::nft::expression::{Remember, Verdict};
use keelson_netlink::nft::{Expression, Register};

use super::layout::Set;
use super::skeleton::{MARK, MARK_FOREIGN, Rule, from_here, from_the_node, rule};
use super::{KEY, address, destination, from_map, port, port_at, replaced_by, verdict_map, width};
use crate::model::{NodeRules, Policy};

/// Endpoints of this node are numbered from here on.
pub const LOCAL_OFFSET: u32 = 1 << 24;

/// What to do with packets to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Route {
    /// Send them to one of several endpoints.
    Pick(Pick),
    /// Tell the inside from the outside: see [`Set::Inside`].
    Split {
        /// By which address.
        via: Via,
    },
}

/// How to pick an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pick {
    /// By which address.
    pub via: Via,
    /// Whose source is hidden.
    pub masquerade: Masquerade,
    /// Out of which endpoints.
    pub policy: Policy,
    /// How many there are.
    pub count: u32,
    /// Seconds for which clients stay; 0 for no affinity.
    pub stay: u32,
}

/// Which address of a Service was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Via {
    /// The cluster's.
    ClusterIp,
    /// An external or load balancer's.
    Entrance,
    /// A node's.
    NodePort,
}

/// Whose source address is hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Masquerade {
    /// Nobody's.
    Never,
    /// Of those that are not known to be pods of this node.
    Foreigners,
    /// Everybody's.
    Always,
}

impl Route {
    /// Its key in the maps from routes to chains.
    #[must_use]
    pub fn key(self) -> [u8; 8] {
        let (first, second) = match self {
            Self::Split { via } => (via.number() << 28, 0),
            Self::Pick(pick) => {
                let masquerade = match pick.masquerade {
                    Masquerade::Never => 1,
                    Masquerade::Foreigners => 2,
                    Masquerade::Always => 3,
                };
                let local = u32::from(pick.policy == Policy::Local);
                let kind = (pick.via.number() << 28) | (masquerade << 26) | (local << 25);
                (kind | pick.count.min(LOCAL_OFFSET), pick.stay)
            }
        };
        let mut key = [0; 8];
        key[..4].copy_from_slice(&first.to_ne_bytes());
        key[4..].copy_from_slice(&second.to_ne_bytes());
        key
    }

    /// The map that leads to its chain.
    #[must_use]
    pub fn map(self) -> Set {
        match self {
            Self::Pick(pick) if pick.masquerade == Masquerade::Never => Set::Picks,
            _ => Set::Routes,
        }
    }

    /// Name of its chain.
    #[must_use]
    pub fn chain(self) -> String {
        let pick = match self {
            Self::Split { via } => return format!("route-{}-split", via.name()),
            Self::Pick(pick) => pick,
        };
        let policy = match pick.policy {
            Policy::Cluster => "cluster",
            Policy::Local => "local",
        };
        let masquerade = match pick.masquerade {
            Masquerade::Never => "",
            Masquerade::Foreigners => "-hide-foreigners",
            Masquerade::Always => "-hide",
        };
        let stay = match pick.stay {
            0 => String::new(),
            seconds => format!("-stay-{seconds}"),
        };
        format!(
            "route-{}-{policy}-{}{masquerade}{stay}",
            pick.via.name(),
            pick.count
        )
    }

    /// The rules of its chain.
    #[must_use]
    pub fn rules(self, v6: bool, node: &NodeRules) -> Vec<Rule> {
        match self {
            Self::Split { via } => split(via, v6, node),
            Self::Pick(pick) => pick.rules(v6, node),
        }
    }
}

impl Via {
    fn number(self) -> u32 {
        match self {
            Self::ClusterIp => 1,
            Self::Entrance => 2,
            Self::NodePort => 3,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::ClusterIp => "cluster-ip",
            Self::Entrance => "entrance",
            Self::NodePort => "node-port",
        }
    }

    /// Loads the cluster address, protocol and port of the Service.
    fn identity(self, v6: bool) -> Vec<Expression> {
        match self {
            Self::ClusterIp => destination(v6),
            Self::Entrance => {
                let mut load = destination(v6);
                load.push(replaced_by(Set::Aliases));
                load
            }
            Self::NodePort => {
                let mut load = destination(v6);
                let after = KEY + width(v6) + 2;
                load.extend(port_at(after));
                load.push(from_map(Set::NodeAliases, after, KEY - 1));
                load
            }
        }
    }

    /// Loads what maps of this kind of address are keyed by.
    fn key(self, v6: bool) -> Vec<Expression> {
        match self {
            Self::ClusterIp | Self::Entrance => destination(v6),
            Self::NodePort => port().to_vec(),
        }
    }
}

/// Where things are in the registers: the identity first, then a client or a number, then an
/// endpoint.
struct Registers {
    after_identity: u8,
    endpoint: u8,
    endpoint_port: u8,
}

fn registers(v6: bool) -> Registers {
    let width = width(v6);
    Registers {
        after_identity: KEY + width + 2,
        endpoint: KEY + 2 * width + 2,
        endpoint_port: KEY + 3 * width + 2,
    }
}

impl Pick {
    /// IPVS picks: nothing but the source is this chain's affair.
    #[must_use]
    pub fn elsewhere(via: Via, masquerade: Masquerade) -> Self {
        Self {
            via,
            masquerade,
            policy: Policy::Cluster,
            count: 0,
            stay: 0,
        }
    }

    fn rules(self, v6: bool, node: &NodeRules) -> Vec<Rule> {
        let mut rules = self.marking(v6, node);
        if node.ipvs.is_some() {
            return rules;
        }
        if self.stay > 0 {
            rules.push(self.refresh(v6));
            rules.push(self.stay_with(v6));
            rules.push(self.meet(v6));
            rules.push(self.stay_with(v6));
        }
        rules.push(self.pick(v6));
        // An endpoint that went between two look-ups: the client tries again.
        rules.push(rule("drop", vec![Expression::Verdict(Verdict::Drop)]));
        rules
    }

    fn marking(self, v6: bool, node: &NodeRules) -> Vec<Rule> {
        let mut rules = Vec::new();
        let hides_all = self.masquerade == Masquerade::Always
            || (self.masquerade == Masquerade::Foreigners && node.masquerade_all);
        if hides_all {
            rules.push(rule("jump mark-for-masquerade", vec![jump(MARK)]));
        } else if self.masquerade == Masquerade::Foreigners && node.local.covers(v6) {
            rules.push(rule("jump mark-foreign", vec![jump(MARK_FOREIGN)]));
        }
        rules
    }

    /// Gives a client that is known its full time again. The endpoint in the registers is for one
    /// that is forgotten at this very moment.
    fn refresh(self, v6: bool) -> Rule {
        let at = registers(v6);
        let mut steps = self.known_client(v6);
        steps.extend(self.random_sticky(v6));
        steps.push(address(v6, true, at.after_identity));
        steps.push(self.remember(&at, true));
        let text = format!(
            "service . saddr in @{}: stay {}s more",
            self.bonds().name(),
            self.stay
        );
        rule(text, steps)
    }

    /// To the endpoint that the client has.
    fn stay_with(self, v6: bool) -> Rule {
        let mut steps = self.known_client(v6);
        steps.push(rewrite(v6, &registers(v6)));
        let text = format!("dnat to service . saddr map @{}", self.bonds().name());
        rule(text, steps)
    }

    /// Gives a client an endpoint; where there is no room for more clients, the next rules do
    /// without.
    fn meet(self, v6: bool) -> Rule {
        let at = registers(v6);
        let mut steps = self.via.identity(v6);
        steps.extend(self.random_sticky(v6));
        steps.push(address(v6, true, at.after_identity));
        steps.push(self.remember(&at, false));
        steps.push(self.remember(&at, true));
        let text = format!(
            "add to @{} service . saddr : service . {} map @sticky-endpoints",
            self.bonds().name(),
            self.number()
        );
        rule(text, steps)
    }

    fn pick(self, v6: bool) -> Rule {
        let at = registers(v6);
        let mut steps = self.via.identity(v6);
        let map = if self.stay > 0 {
            steps.extend(self.random_sticky(v6));
            Set::StickyEndpoints
        } else {
            steps.push(self.random(at.after_identity));
            steps.push(from_map(Set::Endpoints, KEY, at.endpoint));
            Set::Endpoints
        };
        steps.push(rewrite(v6, &at));
        let text = format!("dnat to service . {} map @{}", self.number(), map.name());
        rule(text, steps)
    }

    /// Loads the endpoint that the client has; ends the rule where it has none.
    fn known_client(self, v6: bool) -> Vec<Expression> {
        let at = registers(v6);
        let mut steps = self.via.identity(v6);
        steps.push(address(v6, true, at.after_identity));
        steps.push(from_map(self.bonds(), KEY, at.endpoint));
        steps
    }

    /// Loads an endpoint; what is loaded first in its place is there for `nft`.
    fn random_sticky(self, v6: bool) -> [Expression; 4] {
        let at = registers(v6);
        [
            self.random(at.after_identity),
            address(v6, false, at.endpoint),
            Expression::DestinationPort(Register(at.endpoint_port)),
            from_map(Set::StickyEndpoints, KEY, at.endpoint - 1),
        ]
    }

    fn random(self, to: u8) -> Expression {
        Expression::Random {
            to: Register(to),
            modulus: self.count.max(1),
            offset: self.offset(),
        }
    }

    /// Who stays with whom: a client of both policies has an endpoint of each.
    fn bonds(self) -> Set {
        match self.policy {
            Policy::Cluster => Set::Affinity,
            Policy::Local => Set::LocalAffinity,
        }
    }

    fn offset(self) -> u32 {
        match self.policy {
            Policy::Cluster => 0,
            Policy::Local => LOCAL_OFFSET,
        }
    }

    fn number(self) -> String {
        match self.offset() {
            0 => format!("numgen random mod {}", self.count),
            offset => format!("numgen random mod {} offset {offset}", self.count),
        }
    }

    fn remember(self, at: &Registers, keep: bool) -> Expression {
        Expression::Remember(Remember {
            map: self.bonds().name().to_owned(),
            key: Register(KEY),
            value: Register(at.endpoint),
            seconds: keep.then_some(self.stay),
        })
    }
}

/// Pods and the node itself reach all endpoints, everybody else those of this node.
fn split(via: Via, v6: bool, node: &NodeRules) -> Vec<Rule> {
    let (inside, outside) = match via {
        Via::NodePort => (Set::NodeInside, Set::NodeOutside),
        Via::ClusterIp | Via::Entrance => (Set::Inside, Set::Outside),
    };
    let follow = |map: Set| {
        let mut steps = via.key(v6);
        steps.push(replaced_by(map));
        steps.push(verdict_map(Set::Picks));
        steps
    };
    if node.ipvs.is_some() {
        return outside_is_not_marked(v6, node);
    }
    let mut rules = Vec::new();
    for (text, mut steps) in from_here(v6, &node.local) {
        steps.extend(follow(inside));
        rules.push(rule(
            format!("{text} map @{} vmap @picks", inside.name()),
            steps,
        ));
    }
    rules.push(own_is_marked());
    let mut steps = from_the_node();
    steps.extend(follow(inside));
    rules.push(rule(
        format!("fib saddr type local map @{} vmap @picks", inside.name()),
        steps,
    ));
    rules.push(rule(
        format!("map @{} vmap @picks", outside.name()),
        follow(outside),
    ));
    rules
}

/// The node's own traffic is hidden, as everywhere; that from outside keeps its source.
fn outside_is_not_marked(v6: bool, node: &NodeRules) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (text, mut steps) in from_here(v6, &node.local) {
        steps.push(Expression::Verdict(Verdict::Return));
        rules.push(rule(format!("{text} return"), steps));
    }
    rules.push(own_is_marked());
    rules
}

fn own_is_marked() -> Rule {
    let mut mark = from_the_node();
    mark.push(jump(MARK));
    rule("fib saddr type local jump mark-for-masquerade", mark)
}

fn rewrite(v6: bool, at: &Registers) -> Expression {
    Expression::DestinationNat {
        v6,
        addr: Register(at.endpoint),
        port: Register(at.endpoint_port),
    }
}

fn jump(chain: &str) -> Expression {
    Expression::Verdict(Verdict::Jump(chain.to_owned()))
}
