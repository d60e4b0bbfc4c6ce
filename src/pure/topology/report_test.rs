//! Reports read from texts of real servers, shortened.

use super::*;

const PRIMARY: &str = "# Server\r\nredis_version:7.0.15\r\nrun_id:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\
# Persistence\r\nloading:0\r\nasync_loading:0\r\n\
# Replication\r\nrole:master\r\nconnected_slaves:2\r\n\
slave0:ip=127.0.0.1,port=7002,state=online,offset=700,lag=0\r\n\
slave1:ip=127.0.0.1,port=7003,state=wait_bgsave,offset=0,lag=0\r\n\
master_failover_state:no-failover\r\n\
master_replid:1111111111111111111111111111111111111111\r\n\
master_replid2:0000000000000000000000000000000000000000\r\n\
master_repl_offset:714\r\nsecond_repl_offset:-1\r\n\
# Keyspace\r\ndb0:keys=10,expires=3,avg_ttl=5\r\ndb3:keys=5,expires=0,avg_ttl=0\r\n";

const REPLICA: &str = "redis_version:7.2.4\r\nvalkey_version:9.1.2\r\nrun_id:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n\
loading:0\r\nrole:slave\r\nmaster_host:db.example\r\nmaster_port:7001\r\nmaster_link_status:up\r\n\
master_last_io_seconds_ago:4\r\nmaster_sync_in_progress:0\r\nslave_read_repl_offset:720\r\n\
slave_repl_offset:714\r\nslave_priority:50\r\nslave_read_only:1\r\nconnected_slaves:0\r\n\
master_failover_state:no-failover\r\nmaster_replid:1111111111111111111111111111111111111111\r\n\
master_replid2:2222222222222222222222222222222222222222\r\nmaster_repl_offset:714\r\n\
second_repl_offset:301\r\n";

fn replica_with(from: &str, to: &str) -> Report {
    assert!(REPLICA.contains(from), "{from}");
    Report::parse(&REPLICA.replace(from, to)).expect("a report")
}

#[test]
fn reads_a_primary() {
    let report = Report::parse(PRIMARY).expect("a report");
    assert!(report.is_primary());
    assert_eq!(report.version, "7.0.15");
    assert_eq!(report.offset, 714);
    assert_eq!(report.descends, None);
    assert_eq!((report.keys, report.expiring_keys, report.lasting_keys()), (15, 3, 12));
    assert!(!report.loading && !report.failing_over && !report.is_blank());
    let follower =
        |port, online, offset| Follower { host: "127.0.0.1".into(), port, online, offset };
    assert_eq!(report.followers, [follower(7002, true, 700), follower(7003, false, 0)]);
}

#[test]
fn reads_a_replica() {
    let report = Report::parse(REPLICA).expect("a report");
    assert_eq!(report.version, "9.1.2");
    assert_eq!(report.offset, 714, "applied, not received");
    let parent = ReplId::parse(&"2".repeat(40)).expect("an id");
    assert_eq!(report.descends, Some((parent, 301)));
    let link = report.link().expect("a replica");
    assert_eq!((link.host.as_str(), link.port, link.priority), ("db.example", 7001, 50));
    assert_eq!(link.received, 720);
    assert_eq!(link.state, LinkState::Up { idle_secs: 4 });
}

#[test]
fn tells_the_states_of_a_link() {
    let state = |report: Report| report.link().expect("a replica").state;
    let up = "master_link_status:up";
    let down =
        |secs: &str| format!("master_link_status:down\r\nmaster_link_down_since_seconds:{secs}");
    assert_eq!(state(replica_with(up, &down("7"))), LinkState::Down { secs: 7 });
    assert_eq!(state(replica_with(up, &down("-1"))), LinkState::Never);
    let syncing = replica_with("master_sync_in_progress:0", "master_sync_in_progress:1");
    assert_eq!(state(syncing), LinkState::Syncing);
}

#[test]
fn a_second_channel_is_not_a_second_replica() {
    let text = PRIMARY.replace("state=wait_bgsave,", "state=bg_transfer,type=rdb-channel,");
    assert_eq!(Report::parse(&text).expect("a report").followers.len(), 1);
}

#[test]
fn tells_loading_and_failing_over() {
    assert!(replica_with("loading:0", "loading:1").loading);
    let state = "master_failover_state:waiting-for-sync";
    assert!(replica_with("master_failover_state:no-failover", state).failing_over);
}

#[test]
fn refuses_what_it_cannot_decide_by() {
    for field in
        ["role", "run_id", "master_replid", "slave_repl_offset", "master_host", "master_port"]
    {
        let text = REPLICA.replace(&format!("\r\n{field}:"), "\r\nother:");
        assert_eq!(Report::parse(&text), Err(ReportError::Missing { field }), "{field}");
    }
    assert!(Report::parse("").is_err());
    assert!(Report::parse("role:sentinel\r\n").is_err());
}
