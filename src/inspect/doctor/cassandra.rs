//! Checks Cassandra's nodes: who answers, their releases and clocks.

use super::{Report, State};
use crate::{
    domain::cassandra::{Release, ServerFeature},
    engine::clock,
    store::{
        Store,
        admin::health::{Node, NodeAnswer},
    },
};

/// Clock difference, in milliseconds, that causes a warning; at five seconds runs stop.
const CLOCK_MS: i64 = 1_000;

/// Adds the findings about the nodes, of which none has an older release than `oldest`.
pub(super) async fn examine(report: &mut Report, store: &Store, oldest: &Release) {
    let nodes = store.nodes().await;
    answers(report, store, &nodes);
    releases(report, &nodes, oldest);
    let datacenters = store.datacenters();
    if datacenters.len() > 1 && store.config().local_datacenter.is_none() {
        report.add(
            "cassandra",
            State::Warning,
            "several data centres, and local_datacenter is not set",
            "set it, or LOCAL_QUORUM may mean another data centre at each request",
        );
    }
    clock(report, &nodes);
}

fn answers(report: &mut Report, store: &Store, nodes: &[Node]) {
    let silent: Vec<_> = nodes
        .iter()
        .filter(|node| node.answer.is_none())
        .map(|node| node.address.as_str())
        .collect();
    let told = format!(
        "Cassandra {} at {} node(s) in {}",
        versions(nodes).join(", "),
        nodes.len(),
        store.datacenters().join(", ")
    );
    if silent.is_empty() {
        report.good("cassandra", told);
    } else {
        report.add(
            "cassandra",
            State::Warning,
            format!("{told}; no answer from {}", silent.join(", ")),
            "start them again: with too many away, requests at the configured consistency fail",
        );
    }
}

fn versions(nodes: &[Node]) -> Vec<&str> {
    let mut versions: Vec<_> = nodes
        .iter()
        .filter_map(|node| node.answer.as_ref())
        .map(|answer: &NodeAnswer| answer.version.as_str())
        .collect();
    versions.sort_unstable();
    versions.dedup();
    versions
}

/// Adds what helenus does without on this release.
fn releases(report: &mut Report, nodes: &[Node], oldest: &Release) {
    let lacks = oldest.lacks();
    if lacks.is_empty() {
        return;
    }
    let without: Vec<_> = lacks.into_iter().map(ServerFeature::without).collect();
    let told = format!("Cassandra {oldest}: {}", without.join("; "));
    let (major, minor) = oldest.line();
    let newer = versions(nodes)
        .into_iter()
        .any(|version| Release::parse(version).is_some_and(|one| one.line() > oldest.line()));
    if newer {
        let help = format!(
            "finish the upgrade: until then helenus uses only what {major}.{minor} has, and schema changes may fail"
        );
        report.add("release", State::Warning, told, &help);
    } else {
        report.good("release", told);
    }
}

fn clock(report: &mut Report, nodes: &[Node]) {
    let furthest = nodes
        .iter()
        .filter_map(|node| Some((node, node.answer.as_ref()?)))
        .max_by_key(|(_, answer)| answer.clock_ms.abs());
    let Some((node, answer)) = furthest else {
        return;
    };
    let off = (answer.clock_ms.abs() - answer.within_ms).max(0);
    let direction = if answer.clock_ms < 0 {
        "behind"
    } else {
        "ahead of"
    };
    let help = "let NTP correct the wrong clock, this one or Cassandra's";
    if off > CLOCK_MS {
        let state = if off > clock::LIMIT.num_milliseconds() {
            State::Bad
        } else {
            State::Warning
        };
        report.add(
            "clock",
            state,
            format!(
                "the clock of {} is {:.1} s {direction} this one",
                node.address,
                off as f64 / 1000.0
            ),
            help,
        );
    } else {
        report.good(
            "clock",
            format!("at most {} ms from Cassandra's", off + answer.within_ms),
        );
    }
}
