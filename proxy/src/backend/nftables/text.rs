//! The table as text for people and golden files, close to what `nft list` prints. Pure.

use std::collections::BTreeSet;
use std::fmt::Write;

use keelson_netlink::nft::SetKind;
use keelson_netlink::nft::object::Type;
use keelson_netlink::wire::ip_from;

use super::layout::{SETS, Set, TABLE, leading_to};
use super::render::{Element, hairpin, render, render_node};
use super::route::Route;
use super::skeleton::{Rule, chains};
use crate::backend::Families;
use crate::diff::RuleSet;

/// The chains that do not depend on Services.
#[must_use]
pub fn skeleton(rules: &RuleSet, families: Families) -> String {
    let mut out = String::new();
    for v6 in families.each() {
        title(v6, &mut out);
        for one in chains(v6, rules.node()) {
            let hook = one
                .hook
                .map(|(kind, hook, priority)| format!(" {kind:?} {hook:?} {priority}"));
            chain(
                &format!("{}{}", one.name, hook.unwrap_or_default()),
                &one.rules,
                &mut out,
            );
        }
    }
    out
}

/// What Services make of it: routes and elements.
#[must_use]
pub fn services(rules: &RuleSet, families: Families) -> String {
    let mut elements: BTreeSet<Element> = render_node(rules.node()).into_iter().collect();
    let mut routes: BTreeSet<(bool, Route)> = BTreeSet::new();
    for (_, service) in rules.services() {
        let rendered = render(service, rules.node());
        elements.extend(rendered.elements);
        elements.extend(rendered.hairpins.into_iter().map(hairpin));
        routes.extend(rendered.routes);
    }
    let mut out = String::new();
    for v6 in families.each() {
        let of_family = routes.iter().filter(|(family, _)| *family == v6);
        let of_family: Vec<Route> = of_family.map(|(_, route)| *route).collect();
        let held: Vec<&Element> = elements.iter().filter(|e| e.v6 == v6).collect();
        if of_family.is_empty() && held.is_empty() {
            continue;
        }
        title(v6, &mut out);
        for route in &of_family {
            chain(&route.chain(), &route.rules(v6, rules.node()), &mut out);
        }
        for set in SETS {
            for element in held.iter().filter(|element| element.set == set) {
                let _ = writeln!(out, "    {}", line(element, &of_family));
            }
        }
    }
    out
}

fn title(v6: bool, out: &mut String) {
    let family = if v6 { "ip6" } else { "ip" };
    let _ = writeln!(out, "table {family} {TABLE}");
}

fn chain(name: &str, rules: &[Rule], out: &mut String) {
    let _ = writeln!(out, "  chain {name}");
    for rule in rules {
        let _ = writeln!(out, "    {}", rule.text);
    }
}

fn line(element: &Element, routes: &[Route]) -> String {
    let mut text = format!(
        "{} {}",
        element.set.name(),
        fields(&element.set.key(element.v6), &element.key)
    );
    if let Some(end) = &element.end {
        let last = fields(&element.set.key(element.v6), end);
        let _ = write!(
            text,
            " to {}",
            last.rsplit(" . ").next().unwrap_or_default()
        );
    }
    let Some(value) = &element.value else {
        return text;
    };
    let route = routes.iter().find(|route| {
        let leads = matches!(
            element.set,
            Set::Services
                | Set::Inside
                | Set::Outside
                | Set::NodePorts
                | Set::NodeInside
                | Set::NodeOutside
        );
        leads && leading_to(&route.key()) == *value
    });
    let value = match (route, element.set.kind(element.v6)) {
        (Some(route), _) => route.chain(),
        (None, SetKind::Map(types)) => {
            let text = fields(&types, value);
            text.strip_prefix("0 . ").map(str::to_owned).unwrap_or(text)
        }
        (None, _) => String::new(),
    };
    format!("{text} : {value}")
}

fn fields(types: &[Type], bytes: &[u8]) -> String {
    let mut rest = bytes;
    let mut parts = Vec::new();
    for kind in types {
        let length = if matches!(kind, Type::Ipv6) { 16 } else { 4 };
        let (field, after) = rest.split_at(length.min(rest.len()));
        rest = after;
        parts.push(match (kind, field) {
            (Type::Protocol, [number, ..]) => match number {
                6 => "tcp".to_owned(),
                17 => "udp".to_owned(),
                132 => "sctp".to_owned(),
                other => other.to_string(),
            },
            (Type::Port, [high, low, ..]) => u16::from_be_bytes([*high, *low]).to_string(),
            (Type::Mark, [a, b, c, d]) => u32::from_ne_bytes([*a, *b, *c, *d]).to_string(),
            _ => ip_from(field).map_or_else(|| format!("{field:?}"), |ip| ip.to_string()),
        });
    }
    parts.join(" . ")
}
