//! Host names, aliases and name resolution.

use super::text;
use crate::core::PodSpec;
use crate::validate::field::{ErrorList, Path};
use crate::validate::names;

pub(super) fn validate(spec: &PodSpec, path: &Path, errors: &mut ErrorList) {
    for (field, name) in [("hostname", &spec.hostname), ("subdomain", &spec.subdomain)] {
        let name = text(name.as_ref());
        if !name.is_empty() {
            errors.check(&path.child(field), name, names::dns_label(name));
        }
    }
    if let Some(name) = &spec.hostname_override {
        hostname_override(name, spec, path, errors);
    }
    for (index, alias) in spec.host_aliases.iter().flatten().enumerate() {
        let path = path.child("hostAliases").index(index);
        errors.check(&path.child("ip"), &alias.ip, names::ip_address(&alias.ip));
        for (at, name) in alias.hostnames.iter().flatten().enumerate() {
            errors.check(
                &path.child("hostnames").index(at),
                name,
                names::dns_subdomain(name),
            );
        }
    }
    let policy = text(spec.dns_policy.as_ref());
    match policy {
        "" => errors.required(&path.child("dnsPolicy"), ""),
        _ => {
            let known = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
            errors.choice(&path.child("dnsPolicy"), policy, &known);
        }
    }
    dns_config(spec, policy, &path.child("dnsConfig"), errors);
}

fn hostname_override(name: &str, spec: &PodSpec, path: &Path, errors: &mut ErrorList) {
    let at = path.child("hostnameOverride");
    errors.check(&at, name, names::dns_subdomain(name));
    if name.len() > 64 {
        errors.too_long(&at, 64);
    }
    if spec.set_hostname_as_fqdn == Some(true) {
        errors.forbidden(&at, "may not be specified when setHostnameAsFQDN is true");
    }
    if spec.host_network == Some(true) {
        errors.forbidden(&at, "may not be specified when hostNetwork is true");
    }
}

fn dns_config(spec: &PodSpec, policy: &str, path: &Path, errors: &mut ErrorList) {
    let servers = spec
        .dns_config
        .as_ref()
        .and_then(|c| c.nameservers.as_ref());
    if policy == "None" && servers.is_none_or(Vec::is_empty) {
        let why = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        match spec.dns_config {
            Some(_) => errors.required(&path.child("nameservers"), why),
            None => errors.required(path, "must provide `dnsConfig` when `dnsPolicy` is None"),
        }
    }
    let Some(config) = &spec.dns_config else {
        return;
    };
    let servers = config.nameservers.as_deref().unwrap_or_default();
    if servers.len() > 3 {
        let why = "must not have more than 3 nameservers";
        errors.invalid(&path.child("nameservers"), servers.to_vec(), why);
    }
    for (index, server) in servers.iter().enumerate() {
        errors.check(
            &path.child("nameservers").index(index),
            server,
            names::ip_address(server),
        );
    }
    let searches = config.searches.as_deref().unwrap_or_default();
    if searches.len() > 32 {
        let why = "must not have more than 32 search paths";
        errors.invalid(&path.child("searches"), searches.to_vec(), why);
    }
    if searches.join(" ").len() > 2048 {
        let why = "must not have more than 2048 characters (including spaces) in the search list";
        errors.invalid(&path.child("searches"), searches.to_vec(), why);
    }
    for (index, search) in searches.iter().enumerate() {
        let bare = search.strip_suffix('.').unwrap_or(search);
        if search != "." {
            errors.check(
                &path.child("searches").index(index),
                search,
                names::dns_search(bare),
            );
        }
    }
    for (index, option) in config.options.iter().flatten().enumerate() {
        if text(option.name.as_ref()).is_empty() {
            errors.required(&path.child("options").index(index), "must not be empty");
        }
    }
}
