//! Decides which zones and nodes an endpoint is meant for (`trafficDistribution`). Must not know
//! how endpoints are packed.

use crate::kinds::Service;
use crate::kinds::endpoint_slice::{Endpoint, Hint, Hints};

/// Whom endpoints are meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preference {
    /// Everybody.
    Anywhere,
    /// Who is in the same zone.
    SameZone,
    /// Who is on the same node, then who is in the same zone.
    SameNode,
}

impl Preference {
    /// What a Service asks for.
    #[must_use]
    pub fn of(service: &Service) -> Self {
        match service.spec.traffic_distribution.as_deref() {
            Some("PreferClose" | "PreferSameZone") => Self::SameZone,
            Some("PreferSameNode") => Self::SameNode,
            _ => Self::Anywhere,
        }
    }

    /// Sets the hints of endpoints. Those that aren't ready keep theirs. True if any changed.
    pub fn apply(self, endpoints: &mut [Endpoint]) -> bool {
        let mut changed = false;
        for endpoint in endpoints {
            if self != Self::Anywhere && endpoint.conditions.ready != Some(true) {
                continue;
            }
            let hints = self.hints(endpoint);
            changed |= endpoint.hints != hints;
            endpoint.hints = hints;
        }
        changed
    }

    fn hints(self, endpoint: &Endpoint) -> Option<Hints> {
        let for_zones = match (self, &endpoint.zone) {
            (Self::SameZone | Self::SameNode, Some(zone)) => Hint::only(zone),
            _ => Vec::new(),
        };
        let for_nodes = match (self, &endpoint.node_name) {
            (Self::SameNode, Some(node)) => Hint::only(node),
            _ => Vec::new(),
        };
        let any = !for_zones.is_empty() || !for_nodes.is_empty();
        any.then_some(Hints {
            for_zones,
            for_nodes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Preference;
    use crate::kinds::endpoint_slice::{Conditions, Endpoint};

    #[test]
    fn ready_endpoints_are_meant_for_their_neighbours() {
        let endpoint = |ready: bool, zone: &str| Endpoint {
            conditions: Conditions {
                ready: Some(ready),
                ..Conditions::default()
            },
            zone: Some(zone.to_owned()).filter(|zone| !zone.is_empty()),
            node_name: Some("n".to_owned()),
            ..Endpoint::default()
        };
        let check = |preference: Preference, endpoint: &Endpoint, expected: &str| {
            let mut all = [endpoint.clone()];
            let changed = preference.apply(&mut all);
            let text = serde_json::to_string(&all[0].hints).unwrap();
            assert_eq!(text, expected);
            assert_eq!(changed, text != "null");
            assert!(!preference.apply(&mut all), "twice is as good as once");
        };
        let ready = endpoint(true, "a");
        check(Preference::Anywhere, &ready, "null");
        check(
            Preference::SameZone,
            &ready,
            r#"{"forZones":[{"name":"a"}]}"#,
        );
        check(
            Preference::SameNode,
            &ready,
            r#"{"forZones":[{"name":"a"}],"forNodes":[{"name":"n"}]}"#,
        );
        check(Preference::SameZone, &endpoint(false, "a"), "null");
        check(Preference::SameZone, &endpoint(true, ""), "null");
    }
}
