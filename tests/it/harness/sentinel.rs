//! A real Sentinel that decides alone: quorum 1, and nobody else to ask.

use super::process::Process;
use super::{Client, Port, Server, Value, eventually};
use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// What it calls the group.
const NAME: &str = "main";

/// A Sentinel. Ends with the value.
#[derive(Debug)]
pub(crate) struct Sentinel {
    port: Port,
    /// It writes down there what it finds out.
    _dir: TempDir,
    _process: Process,
}

impl Sentinel {
    /// Watches `primary`, and takes it for dead after `down_after_ms` of silence.
    #[track_caller]
    pub(crate) fn watch(primary: &Server, down_after_ms: u32) -> Self {
        let (port, dir) = (Port::reserve(), TempDir::new().expect("a temporary directory"));
        let file = dir.path().join("sentinel.conf");
        let at = primary.addr();
        let text = format!(
            "port {}\nbind {}\nsentinel monitor {NAME} {} {} 1\n\
             sentinel down-after-milliseconds {NAME} {down_after_ms}\n\
             sentinel failover-timeout {NAME} 6000\n",
            port.addr().port(),
            port.addr().ip(),
            at.ip(),
            at.port()
        );
        fs::write(&file, text).expect("the directory is ours");
        let child = Command::new(primary.kind().binary())
            .arg(&file)
            .arg("--sentinel")
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("sentinel starts");
        Self { port, _dir: dir, _process: Process::new(child) }
    }

    /// Waits until it has heard of `replica`, in whatever state that is.
    #[track_caller]
    pub(crate) fn wait_heard_of(&self, replica: &Server) {
        eventually("sentinel has heard of the replica", || self.replica(replica).map(|_| ()));
    }

    /// Waits until it takes every one of `replicas` for well.
    #[track_caller]
    pub(crate) fn wait_content(&self, replicas: &[Server]) {
        eventually("sentinel takes the replicas for well", || {
            let is_well = |it: &Server| {
                let known = self.replica(it)?;
                (known["flags"] == "slave" && known["master-link-status"] == "ok").then_some(())
            };
            replicas.iter().try_for_each(is_well)
        });
    }

    /// What it knows of `replica`.
    fn replica(&self, replica: &Server) -> Option<BTreeMap<String, String>> {
        let port = replica.addr().port().to_string();
        let told = self.ask(&["SENTINEL", "REPLICAS", NAME])?;
        told.items().iter().map(fields).find(|it| it.get("port") == Some(&port))
    }

    /// Tells it to promote a replica now, without asking anybody.
    #[track_caller]
    pub(crate) fn fail_over(&self) {
        let reply = self.ask(&["SENTINEL", "FAILOVER", NAME]).expect("sentinel answers");
        assert_eq!(reply, "+OK");
    }

    /// Waits until it names `node` as the primary, which is the end of a failover.
    #[track_caller]
    pub(crate) fn wait_names(&self, node: &Server) {
        let port = node.addr().port().to_string();
        eventually("sentinel names the new primary", || {
            let told = self.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME])?;
            (*told.items().get(1)? == port.as_str()).then_some(())
        });
    }

    fn ask(&self, command: &[&str]) -> Option<Value> {
        Client::connect(self.port.addr()).ok()?.try_call(command).ok()
    }
}

/// A flat list of names and values.
fn fields(list: &Value) -> BTreeMap<String, String> {
    let pairs = list.items().chunks_exact(2);
    pairs.map(|it| (it[0].text(), it[1].text())).collect()
}
