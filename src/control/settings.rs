//! What the control plane takes from the configuration.

use crate::config::{self, Config, Credentials, HostPort};
use crate::pure::detect;
use crate::pure::failover::{Endpoint, Fence, Guarded, NodeSpec, Params, Rejoin, Witnessless};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};

/// Everything that [`run`](super::run) needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `group.name`.
    pub group: String,
    /// `group.nodes`.
    pub nodes: Vec<NodeSpec>,
    /// `health:`, `failover:` and `group.discover`.
    pub params: Params,
    /// Segue's own, for probes and promotion.
    pub credentials: Option<Credentials>,
}

impl Settings {
    /// The settings of a checked configuration.
    pub fn from_config(config: &Config) -> Self {
        let (group, health, failover) = (config.group(), config.health(), config.failover());
        Self {
            group: group.name().to_owned(),
            nodes: group.nodes().iter().map(spec).collect(),
            params: Params {
                detect: detect::Params {
                    interval: health.interval(),
                    timeout: health.timeout(),
                    suspect_after: health.suspect_after(),
                    down_after: health.down_after(),
                    refused_after: health.refused_after(),
                    rise: health.rise(),
                    loading_after: health.loading_after(),
                },
                enabled: failover.enabled(),
                timeout: failover.timeout(),
                parallel_syncs: failover.parallel_syncs(),
                max_lag_bytes: failover.max_lag_bytes(),
                max_link_down: failover.max_link_down(),
                rejoin: match failover.rejoin() {
                    config::Rejoin::Auto => Rejoin::Auto,
                    config::Rejoin::Quarantine => Rejoin::Quarantine,
                    config::Rejoin::Off => Rejoin::Off,
                },
                discover: group.discover(),
                guarded: guarded(config),
                without_witness: match failover.without_witness() {
                    config::Witnessless::Wait => Witnessless::Wait,
                    config::Witnessless::Promote => Witnessless::Promote,
                },
                jitter: failover.jitter(),
                // Another one in each process: the standard library seeds its hashers so.
                seed: RandomState::new().build_hasher().finish(),
                fence: failover.fence().map(|it| Fence {
                    min_replicas: u64::from(it.min_replicas()),
                    max_lag_secs: it.max_lag().as_secs(),
                }),
            },
            credentials: group.credentials().cloned(),
        }
    }
}

/// Whether any listener promises anything, and how little the weakest does.
fn guarded(config: &Config) -> Option<Guarded> {
    let promised = config.listen().iter().filter_map(|it| Some(it.durability()?.promise()));
    let replicas_min = promised.map(|it| it.replicas).min()?;
    let always_quorum = config.failover().quorum() == config::Quorum::Always;
    Some(Guarded { replicas_min, always_quorum })
}

fn spec(node: &config::Node) -> NodeSpec {
    NodeSpec {
        name: node.name().to_owned(),
        address: endpoint(node.address()),
        replication: endpoint(node.replication_address()),
        priority: node.priority(),
        configured: true,
    }
}

fn endpoint(address: &HostPort) -> Endpoint {
    Endpoint { host: address.host.clone(), port: address.port }
}
