//! The judgements that turn a line of `commands.txt` into a [`Class`].
//!
//! The servers flag what reads or writes *data*. For commands with neither flag this is
//! the place that says which of them may be repeated. The list is short on purpose: what
//! is not named here is a write.

use super::{Allow, BlockArg, Class, Effect, Special};

/// Commands with neither flag that may be sent again without harm, with the reason.
const HARMLESS: &[&str] = &[
    // Answer from the server's state and change nothing.
    "ping",
    "echo",
    "time",
    "info",
    "role",
    "lastsave",
    "command",
    // The command table, which nothing changes but a module.
    "command|count",
    "command|docs",
    "command|getkeys",
    "command|getkeysandflags",
    "command|info",
    "command|list",
    // Look at configuration, clients, users, scripts, modules. Not `ACL LOG`: it resets too.
    "config|get",
    "client|id",
    "client|info",
    "client|list",
    "client|getname",
    "client|getredir",
    "client|trackinginfo",
    "acl|cat",
    "acl|dryrun",
    "acl|getuser",
    "acl|list",
    "acl|users",
    "acl|whoami",
    // Random bytes that the server does not remember.
    "acl|genpass",
    "module|list",
    "function|dump",
    "function|list",
    "function|stats",
    "script|exists",
    "script|show",
    // Puts a body where its own hash leads: a second time changes nothing.
    "script|load",
    // Look at what the server has measured.
    "slowlog|get",
    "slowlog|len",
    "commandlog|get",
    "commandlog|len",
    "latency|doctor",
    "latency|graph",
    "latency|histogram",
    "latency|history",
    "latency|latest",
    "memory|doctor",
    "memory|malloc-stats",
    "memory|stats",
    // Look at subscriptions.
    "pubsub|channels",
    "pubsub|numpat",
    "pubsub|numsub",
    "pubsub|shardchannels",
    "pubsub|shardnumsub",
    // Look at the cluster.
    "cluster|count-failure-reports",
    "cluster|countkeysinslot",
    "cluster|getkeysinslot",
    "cluster|getslotmigrations",
    "cluster|info",
    "cluster|keyslot",
    "cluster|links",
    "cluster|myid",
    "cluster|myshardid",
    "cluster|nodes",
    "cluster|replicas",
    "cluster|shards",
    "cluster|slaves",
    "cluster|slot-stats",
    "cluster|slots",
];

/// The class of the command `name` (lower case, `parent|sub`), of which the table says `words`.
pub(super) fn classify(name: &str, words: &[&str]) -> Class {
    let has = |word: &str| words.contains(&word);
    let special = special(name);
    let harmless = || HARMLESS.contains(&name) || name.ends_with("|help");
    let effect = if let Special::Refused(_) = special {
        Effect::Write
    } else if is_connection(special) {
        Effect::Connection
    } else if has("write") || has("may_replicate") {
        Effect::Write
    } else if has("read") || harmless() {
        Effect::Read
    } else {
        Effect::Write
    };
    Class {
        effect,
        special,
        is_blocking: has("blocking") || has("option"),
        no_auth: has("no_auth"),
        no_multi: has("no_multi"),
        is_known: true,
    }
}

/// Whether all that the command changes is its own connection.
const fn is_connection(special: Special) -> bool {
    use Special as S;
    match special {
        S::Auth | S::Hello | S::Select | S::Reset | S::Quit => true,
        S::Multi | S::Discard | S::Watch | S::Unwatch => true,
        S::Subscribe | S::Psubscribe | S::Ssubscribe => true,
        S::Unsubscribe | S::Punsubscribe | S::Sunsubscribe => true,
        S::Monitor | S::Asking | S::Readonly | S::Readwrite | S::ScriptDebug => true,
        S::ClientSetname | S::ClientSetinfo | S::ClientReply | S::ClientTracking => true,
        S::ClientCaching | S::ClientNoEvict | S::ClientNoTouch => true,
        S::ClientCapa | S::ClientImportSource => true,
        S::ClientId | S::ClientInfo | S::ClientList | S::ClientKill | S::ClientUnblock => false,
        S::ClientGetredir | S::ClientTrackinginfo | S::ClientGetname => false,
        S::ClientPause | S::ClientUnpause => false,
        S::None | S::Exec | S::Eval | S::EvalSha | S::Fcall => false,
        S::ScriptLoad | S::ScriptFlush | S::ScriptExists => false,
        S::Scan | S::Hscan | S::Sscan | S::Zscan => false,
        S::Wait | S::Waitaof | S::Blocking(_) | S::Refused(_) => false,
    }
}

fn special(name: &str) -> Special {
    use BlockArg::{FirstSeconds, LastSeconds, OptionMillis};
    match name {
        "auth" => Special::Auth,
        "hello" => Special::Hello,
        "select" => Special::Select,
        "reset" => Special::Reset,
        "quit" => Special::Quit,
        "multi" => Special::Multi,
        "exec" => Special::Exec,
        "discard" => Special::Discard,
        "watch" => Special::Watch,
        "unwatch" => Special::Unwatch,
        "subscribe" => Special::Subscribe,
        "psubscribe" => Special::Psubscribe,
        "ssubscribe" => Special::Ssubscribe,
        "unsubscribe" => Special::Unsubscribe,
        "punsubscribe" => Special::Punsubscribe,
        "sunsubscribe" => Special::Sunsubscribe,
        "monitor" => Special::Monitor,
        "asking" => Special::Asking,
        "readonly" => Special::Readonly,
        "readwrite" => Special::Readwrite,
        "eval" | "eval_ro" => Special::Eval,
        "evalsha" | "evalsha_ro" => Special::EvalSha,
        "fcall" | "fcall_ro" => Special::Fcall,
        "script|load" => Special::ScriptLoad,
        "script|flush" => Special::ScriptFlush,
        "script|exists" => Special::ScriptExists,
        "script|debug" => Special::ScriptDebug,
        "scan" => Special::Scan,
        "hscan" => Special::Hscan,
        "sscan" => Special::Sscan,
        "zscan" => Special::Zscan,
        "wait" => Special::Wait,
        "waitaof" => Special::Waitaof,
        "blpop" | "brpop" | "bzpopmin" | "bzpopmax" | "blmove" | "brpoplpush" => {
            Special::Blocking(LastSeconds)
        }
        "blmpop" | "bzmpop" => Special::Blocking(FirstSeconds),
        "xread" | "xreadgroup" => Special::Blocking(OptionMillis),
        _ => match name.split_once('|') {
            Some(("client", sub)) => client(sub),
            _ => refused(name).map_or(Special::None, Special::Refused),
        },
    }
}

fn client(sub: &str) -> Special {
    match sub {
        "setname" => Special::ClientSetname,
        "setinfo" => Special::ClientSetinfo,
        "reply" => Special::ClientReply,
        "tracking" => Special::ClientTracking,
        "caching" => Special::ClientCaching,
        "no-evict" => Special::ClientNoEvict,
        "no-touch" => Special::ClientNoTouch,
        "capa" => Special::ClientCapa,
        "import-source" => Special::ClientImportSource,
        "id" => Special::ClientId,
        "info" => Special::ClientInfo,
        "list" => Special::ClientList,
        "kill" => Special::ClientKill,
        "unblock" => Special::ClientUnblock,
        "getredir" => Special::ClientGetredir,
        "trackinginfo" => Special::ClientTrackinginfo,
        "pause" => Special::ClientPause,
        "unpause" => Special::ClientUnpause,
        "getname" => Special::ClientGetname,
        _ => Special::None,
    }
}

fn refused(name: &str) -> Option<Allow> {
    Some(match name {
        "replicaof" | "slaveof" => Allow::Replicaof,
        "failover" => Allow::Failover,
        "shutdown" => Allow::Shutdown,
        "sync" | "psync" | "replconf" => Allow::Sync,
        "debug" => Allow::Debug,
        // The container stands for subcommands that nobody has heard of.
        "cluster" => Allow::Cluster,
        _ if name.starts_with("cluster|") => {
            if HARMLESS.contains(&name) || name.ends_with("|help") {
                return None;
            }
            Allow::Cluster
        }
        _ => return None,
    })
}

#[cfg(test)]
pub(super) const fn harmless() -> &'static [&'static str] {
    HARMLESS
}
