//! The files in `deploy/`, the Dockerfile and the scripts, each checked by the tool that knows best.
//!
//! The tools come with `make test` (scripts/install). One that is missing fails its test; nothing is
//! skipped. Between the files, this module checks what no tool knows: that times, ports and names in
//! one agree with those in another.
//!
//! # Deliberately absent
//!
//! Building the image, for which a Docker engine would be needed. The static binary that it holds is
//! built and run by `scripts/static`, from the files that the Dockerfile copies.

#![allow(clippy::panic, reason = "helpers of tests fail as tests do")]

use segue::config::{Config, ListenAddress};
use serde_yaml::Value;
use std::{
    env, fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

#[path = "it/harness/wait.rs"]
mod wait;

use wait::eventually;

/// The oldest Kubernetes with native sidecars switched on, and the newest that the schemas know.
const KUBERNETES: [&str; 2] = ["1.29", "1.37"];

/// The overall exposure that `systemd-analyze security` may find, from 0 (none) to 100.
const EXPOSURE_MAX: u8 = 15;

#[test]
fn every_shipped_configuration_is_accepted() {
    for file in ["proxy.yaml", "deploy/kubernetes/proxy.yaml"]
        .into_iter()
        .chain(["deploy/compose/proxy.yaml", "deploy/systemd/proxy.yaml"])
    {
        // The passwords that they name are on the machines that they are for.
        run(Command::new(env!("CARGO_BIN_EXE_segue"))
            .args(["check", "--without-secrets", "--config"])
            .arg(at(file)));
    }
}

#[test]
fn the_kubernetes_manifests_match_the_schemas() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rendered.yaml");
    fs::write(&file, rendered_manifests()).expect("writable");
    for version in KUBERNETES {
        run(tool("kubernetes-validate").args(["--strict", "-k", version]).arg(&file));
    }
}

#[test]
fn the_sidecar_agrees_with_its_configuration() {
    let rendered = rendered_manifests();
    let documents: Vec<Value> = serde_yaml::Deserializer::from_str(&rendered)
        .map(|it| serde::Deserialize::deserialize(it).expect("YAML"))
        .collect();
    let of_kind = |kind: &str| {
        let found = documents.iter().find(|it| it["kind"] == kind);
        found.unwrap_or_else(|| panic!("no {kind}"))
    };
    let pod = &of_kind("Deployment")["spec"]["template"];
    let segue = &pod["spec"]["initContainers"][0];
    let app = &pod["spec"]["containers"][0];
    let config = shipped("deploy/kubernetes/proxy.yaml");

    assert_eq!(segue["restartPolicy"], "Always", "what makes it a sidecar");
    assert_eq!(segue["image"], format!("segue:{}", env!("CARGO_PKG_VERSION")));
    let http = config.http().expect("http").port();
    assert_eq!(segue["ports"][0]["containerPort"], u64::from(http));
    assert_eq!(pod["metadata"]["annotations"]["prometheus.io/port"], http.to_string());
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        assert_eq!(segue[probe]["httpGet"]["port"], segue["ports"][0]["name"], "{probe}");
    }
    let listen = config.listen()[0].address();
    assert_eq!(app["env"][0]["value"], format!("redis://{listen}"), "where the application looks");

    let password = of_kind("Secret")["stringData"].as_mapping().expect("secrets");
    let mounts = segue["volumeMounts"].as_sequence().expect("mounts");
    let mounted = |path: &str| mounts.iter().any(|it| it["mountPath"] == path);
    let text = read("deploy/kubernetes/proxy.yaml");
    for key in password.keys().filter_map(Value::as_str) {
        assert!(text.contains(&format!("/run/secrets/segue/{key}")), "{key} is not used");
    }
    assert!(mounted("/run/secrets/segue") && mounted("/etc/segue"));
    assert!(mounted(&control_folder(&config)), "the control socket needs a writable place");

    let grace = pod["spec"]["terminationGracePeriodSeconds"].as_u64().expect("seconds");
    let pause = app["lifecycle"]["preStop"]["exec"]["command"][1].as_str().expect("seconds");
    let needed = config.drain().timeout() + Duration::from_secs(pause.parse().expect("a number"));
    assert!(Duration::from_secs(grace) > needed, "{grace} s leaves no time for {needed:?}");
}

#[test]
fn the_compose_file_is_accepted_and_agrees_with_its_configuration() {
    let file = "deploy/compose/compose.yaml";
    let canonical = run(tool("docker-compose").arg("-f").arg(at(file)).arg("config"));
    let compose: Value = serde_yaml::from_str(&canonical).expect("YAML");
    let segue = &compose["services"]["segue"];
    let config = shipped("deploy/compose/proxy.yaml");

    assert_eq!(segue["image"], format!("segue:{}", env!("CARGO_PKG_VERSION")));
    for node in config.group().nodes() {
        let host = node.address().host.as_str();
        assert!(compose["services"].get(host).is_some(), "no service `{host}`");
    }
    let published: Vec<_> = segue["ports"].as_sequence().expect("ports").iter().collect();
    let is_published = |port: u16| published.iter().any(|it| it["target"] == u64::from(port));
    let ListenAddress::Tcp(listen) = config.listen()[0].address() else { panic!("no TCP port") };
    assert!(is_published(listen.port()) && is_published(config.http().expect("http").port()));
    let writable = segue["tmpfs"][0].as_str().expect("a place for the socket");
    assert!(writable.starts_with(&control_folder(&config)), "the control socket is elsewhere");
    let grace = segue["stop_grace_period"].as_str().and_then(|it| it.strip_suffix('s'));
    let grace = grace.and_then(|it| it.parse().ok()).map(Duration::from_secs).expect("seconds");
    assert!(grace > config.drain().timeout(), "{grace:?} leaves no time to drain");
}

#[test]
fn the_systemd_unit_is_accepted_and_closed_up() {
    let unit = read("deploy/systemd/segue.service");
    // The unit is looked at with the program that was just built in the place of the installed one.
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("segue.service");
    let binary = env!("CARGO_BIN_EXE_segue");
    fs::write(&file, unit.replace("/usr/local/bin/segue run", &format!("{binary} run")))
        .expect("writable");
    run(tool("systemd-analyze").args(["verify", "--man=no"]).arg(&file));
    run(tool("systemd-analyze")
        .args(["security", "--offline=true", "--threshold", &EXPOSURE_MAX.to_string()])
        .arg(&file));

    let config = shipped("deploy/systemd/proxy.yaml");
    let value = |key: &str| {
        let found = unit.lines().find_map(|it| it.strip_prefix(key)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("no {key}"))
    };
    let stop = value("TimeoutStopSec").strip_suffix('s').and_then(|it| it.parse().ok());
    let stop = Duration::from_secs(stop.expect("seconds"));
    assert!(stop > config.drain().timeout(), "{stop:?} leaves no time to drain");
    assert_eq!(control_folder(&config), format!("/run/{}", value("RuntimeDirectory")));
    let (credential, _) = value("LoadCredential").split_once(':').expect("name:path");
    let password = format!("/run/credentials/segue.service/{credential}");
    assert!(read("deploy/systemd/proxy.yaml").contains(&password), "{password} is not used");
}

#[test]
fn prometheus_accepts_its_files_and_the_alerts_fire() {
    run(tool("promtool").args(["check", "config"]).arg(at("deploy/prometheus/prometheus.yml")));
    run(tool("promtool").args(["test", "rules"]).arg(at("deploy/prometheus/alerts.test.yml")));
}

#[test]
fn alerts_speak_of_metrics_that_exist() {
    let page = read("docs/metrics.md");
    let alerts: Value = serde_yaml::from_str(&read("deploy/prometheus/alerts.yml")).expect("YAML");
    let rules = alerts["groups"][0]["rules"].as_sequence().expect("rules");
    for rule in rules {
        let expression = rule["expr"].as_str().expect("an expression");
        let words = expression.split(|it: char| !it.is_alphanumeric() && it != '_');
        for name in words.filter(|it| it.starts_with("segue_") || it.starts_with("process_")) {
            assert!(page.contains(&format!("`{name}`")), "docs/metrics.md lacks {name}");
        }
    }
}

#[test]
fn promtool_accepts_what_segue_exports() {
    let folder = tempfile::tempdir().expect("a folder");
    let [listen, http, node] = [(); 3].map(|()| free_address());
    let socket = folder.path().join("control.sock");
    let file = folder.path().join("proxy.yaml");
    let text = format!(
        "listen: [{{ address: \"{listen}\" }}]\n\
         http: {{ address: \"{http}\" }}\n\
         control: {{ address: \"unix:{}\" }}\n\
         group: {{ name: main, nodes: [{{ name: a, address: \"{node}\" }}] }}\n",
        socket.display()
    );
    fs::write(&file, text).expect("writable");
    let segue = Command::new(env!("CARGO_BIN_EXE_segue"))
        .args(["run", "--config"])
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _segue = Running(segue.expect("segue starts"));
    let exported = eventually("Segue serves its metrics", || get(http, "/metrics").ok());

    let mut promtool = tool("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts");
    promtool.stdin.take().expect("piped").write_all(exported.as_bytes()).expect("promtool reads");
    let output = promtool.wait_with_output().expect("promtool ends");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "{said}\nof\n{exported}");
}

#[test]
fn the_dockerfile_is_clean_and_gets_the_files_that_it_copies() {
    run(tool("hadolint").arg(at("Dockerfile")));
    let dockerfile = read("Dockerfile");
    let ignored = read(".dockerignore");
    let allowed: Vec<_> = ignored.lines().filter_map(|it| it.strip_prefix('!')).collect();
    let copied: Vec<_> = dockerfile
        .lines()
        .filter_map(|it| it.strip_prefix("COPY "))
        .filter(|it| !it.starts_with("--"))
        .flat_map(|it| it.rsplit_once(' ').expect("a destination").0.split(' '))
        .collect();
    assert_eq!(copied, allowed, "what is copied and what .dockerignore lets through");
    for file in copied {
        assert!(at(file).exists(), "{file} is not there");
    }
    let version = env!("CARGO_PKG_VERSION");
    assert!(dockerfile.contains(&format!("image.version=\"{version}\"")), "not version {version}");
    let listens = [shipped("proxy.yaml").http().expect("http").port(), 6380];
    for port in listens {
        assert!(dockerfile.contains(&port.to_string()), "port {port} is not exposed");
    }
}

#[test]
fn the_scripts_are_clean() {
    run(tool("shellcheck")
        .args([".ci/run", "scripts/install", "scripts/static", "scripts/compare"].map(at)));
}

#[test]
fn the_sums_of_the_comparison_are_right() {
    run(tool("python3").args(["-B", "benches/compare/account_test.py"]));
}

fn at(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn read(file: &str) -> String {
    fs::read_to_string(at(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// A configuration of the repository.
fn shipped(file: &str) -> Config {
    Config::load_without_secrets(&at(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The folder of the control socket.
fn control_folder(config: &Config) -> String {
    let ListenAddress::Unix(socket) = config.control().address() else { panic!("not a socket") };
    socket.parent().expect("a folder").display().to_string()
}

fn rendered_manifests() -> String {
    run(tool("kubectl").arg("kustomize").arg(at("deploy/kubernetes")))
}

/// A program that `make test` installs: of .cache/bin, else of the system.
fn tool(name: &str) -> Command {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/bin".into()]);
    let mut places = [at(".cache/bin")].into_iter().chain(system).map(|it| it.join(name));
    let found = places.find(|it| it.is_file());
    Command::new(found.unwrap_or_else(|| panic!("{name} is not installed: run make test")))
}

/// Runs `command` to its good end; what it printed.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{printed}{complained}", output.status);
    printed
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An address of this machine where nobody listens.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

/// The body of a page.
fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    // HTTP/1.0, so that the body ends with the connection.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: segue\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    assert!(answer.contains(" 200 "), "{answer}");
    Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}
