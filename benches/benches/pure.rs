//! Nanoseconds of the parts that every request passes: scanner, classification, session machine.
//!
//! `cargo bench --manifest-path benches/Cargo.toml`. On a busy machine compare ratios, or count
//! instructions instead (`make bench-instructions`).

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use segue::pure::command::Table;
use segue::pure::resp::{reply, request};
use segue_bench::rig::{Rig, cases, command, value};
use std::hint::black_box;
use std::time::Duration;

fn requests(c: &mut Criterion) {
    let mut group = c.benchmark_group("request_scanner");
    let get = command(&[b"GET", b"bench:64:000000000001"]);
    let mset: Vec<&[u8]> = std::iter::once(&b"MSET"[..]).chain([&b"key"[..]; 64]).collect();
    for (name, frames, input) in [
        ("get", 1, get.clone()),
        ("get_pipeline_64", 64, get.repeat(64)),
        ("mset_of_32", 1, command(&mset)),
        ("set_16_kib", 1, command(&[b"SET", b"key", &vec![b'x'; 16 << 10]])),
    ] {
        group.throughput(Throughput::Elements(frames));
        group.bench_function(name, |b| {
            let mut scanner = request::Scanner::new(request::Limits::DEFAULT);
            b.iter(|| {
                let mut at = 0;
                while let request::Scan::Frame { len } = scanner.scan(black_box(&input[at..])) {
                    at += len;
                }
                assert_eq!(at, input.len());
            });
        });
    }
    group.finish();
}

fn replies(c: &mut Criterion) {
    let mut group = c.benchmark_group("reply_scanner");
    let array = [b"*100\r\n".to_vec(), value(8).repeat(100)].concat();
    for (name, frames, input) in [
        ("ok", 1, b"+OK\r\n".to_vec()),
        ("value_64", 1, value(64)),
        ("value_64_pipeline_64", 64, value(64).repeat(64)),
        ("array_of_100", 1, array),
    ] {
        group.throughput(Throughput::Elements(frames));
        group.bench_function(name, |b| {
            let mut scanner = reply::Scanner::new();
            b.iter(|| {
                let mut at = 0;
                while let reply::Scan::Frame { len } = scanner.scan(black_box(&input[at..])) {
                    at += len;
                }
                assert_eq!(at, input.len());
            });
        });
    }
    group.finish();
}

fn classification(c: &mut Criterion) {
    let mut group = c.benchmark_group("classification");
    let table = Table::builtin();
    let names: [(&str, &[u8], &[u8]); 4] = [
        ("get", b"GET", b"key"),
        ("lower_case", b"hgetall", b"user:1"),
        ("subcommand", b"CLIENT", b"SETNAME"),
        ("unknown", b"NOSUCH.COMMAND", b"key"),
    ];
    for (name, command, sub) in names {
        group.bench_function(name, |b| {
            b.iter(|| table.lookup(black_box(command), black_box(sub)));
        });
    }
    group.finish();
}

fn session(c: &mut Criterion) {
    let mut group = c.benchmark_group("session");
    for (upstream, workload) in cases() {
        group.throughput(Throughput::Elements(workload.commands));
        group.bench_function(format!("{}/{}", upstream.name(), workload.name), |b| {
            let mut rig = Rig::new(upstream);
            b.iter(|| {
                let got = rig.turn(black_box(&workload.requests), black_box(&workload.replies));
                assert_eq!(got, workload.replies.len());
            });
        });
    }
    group.finish();
}

fn settings() -> Criterion {
    Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! {
    name = pure;
    config = settings();
    targets = requests, replies, classification, session
}
criterion_main!(pure);
