//! What is shipped for systemd, containers and Kubernetes agrees with millpond, and with itself.

use crate::at_root;
use crate::manifests::{self, Manifest, millpond_of, seconds, text};
use millpond::config::load::parse_str;
use millpond::config::model::{AdminListen, Config};
use serde_norway::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// What kubelet lets a Pod set without being told to, since Kubernetes 1.30 at the latest:
/// pkg/kubelet/sysctl/safe_sysctls.go.
const SAFE_SYSCTLS: [&str; 8] = [
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_syncookies",
];
/// Where the program is, in the package and in the image.
const PROGRAM: &str = "/usr/bin/millpond";

fn read(path: &str) -> String {
    fs::read_to_string(at_root(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn compiled(name: &str, toml: &str) -> Config {
    let loaded = parse_str(name, toml).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(loaded.warnings, [], "{name}");
    loaded.config
}

/// Name and value of each setting of deploy/sysctl.d.
fn sysctls() -> BTreeMap<String, String> {
    let file = read("deploy/sysctl.d/90-millpond.conf");
    let lines = file.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" = "));
    lines.map(|(name, value)| (name.trim_start_matches('-').to_owned(), value.to_owned())).collect()
}

/// A Pod's millpond, and the configuration that it is given.
fn pods() -> Vec<(Manifest, Config)> {
    let manifests = manifests::all();
    let workloads = manifests.iter().filter(|manifest| !millpond_of(&manifest.value).is_null());
    let with_config = workloads.map(|workload| {
        let toml = text(&config_map(&manifests, workload)["data"]["millpond.toml"]);
        (workload.clone(), compiled(&format!("millpond.toml of {workload}"), &toml))
    });
    with_config.collect()
}

/// The ConfigMap that is mounted where the container's arguments say.
fn config_map<'a>(manifests: &'a [Manifest], workload: &Manifest) -> &'a Value {
    let container = millpond_of(&workload.value);
    let args: Vec<String> = container["args"].as_sequence().unwrap().iter().map(text).collect();
    let [run, c, file] = &args[..] else { panic!("{workload}: {args:?}") };
    assert_eq!((run.as_str(), c.as_str()), ("run", "-c"), "{workload}");
    let directory = Path::new(file).parent().and_then(Path::to_str).unwrap();
    let volume = volume_at(workload, directory);
    let name = text(&volume["configMap"]["name"]);
    let found = manifests.iter().find(|other| {
        other.file == workload.file
            && other.kind() == "ConfigMap"
            && text(&other.value["metadata"]["name"]) == name
    });
    &found.unwrap_or_else(|| panic!("{workload}: no ConfigMap {name}")).value
}

/// The volume that is mounted, as a whole, at a directory of millpond's container.
fn volume_at<'a>(workload: &'a Manifest, directory: &str) -> &'a Value {
    let mounts = millpond_of(&workload.value)["volumeMounts"].as_sequence().unwrap();
    let mount = mounts.iter().find(|mount| text(&mount["mountPath"]) == directory);
    let mount = mount.unwrap_or_else(|| panic!("{workload}: nothing is mounted at {directory}"));
    assert!(mount["subPath"].is_null(), "{workload}: with subPath, no change arrives");
    let volumes = workload.pod()["volumes"].as_sequence().unwrap();
    volumes.iter().find(|volume| volume["name"] == mount["name"]).expect("a volume of that name")
}

#[test]
fn every_pod_has_a_configuration_that_compiles() {
    let pods = pods();
    assert_eq!(pods.len(), 3, "a Deployment, a DaemonSet and a sidecar");
    for (pod, config) in &pods {
        assert_eq!(
            text(&millpond_of(&pod.value)["image"]),
            concat!("millpond:", env!("CARGO_PKG_VERSION")),
            "{pod}"
        );
        let mut ports: BTreeSet<u64> = config
            .listeners
            .iter()
            .flat_map(|listener| &listener.bind)
            .map(|bind| bind.port().into())
            .collect();
        if let AdminListen::Tcp(address) = config.admin.listen
            && !address.ip().is_loopback()
        {
            ports.insert(address.port().into());
        }
        let declared = millpond_of(&pod.value)["ports"].as_sequence().unwrap().iter();
        let declared: BTreeSet<u64> = declared.filter_map(|port| port["containerPort"].as_u64()).collect();
        assert_eq!(declared, ports, "{pod}");
    }
}

/// kubelet comes from the node's address, and has no token.
#[test]
fn kubelet_can_ask_every_pod_for_its_health() {
    for (pod, config) in pods() {
        let container = millpond_of(&pod.value);
        for (probe, path, command) in [
            ("livenessProbe", "/livez", &[PROGRAM, "health", "--live"][..]),
            ("readinessProbe", "/readyz", &[PROGRAM, "health"]),
        ] {
            let probe = &container[probe];
            match config.admin.listen {
                AdminListen::Tcp(address) if !address.ip().is_loopback() => {
                    assert_eq!(text(&probe["httpGet"]["path"]), path, "{pod}");
                    assert_eq!(text(&probe["httpGet"]["port"]), "admin", "{pod}");
                    let token = config.admin.token_file.as_deref().expect("another host reaches it");
                    let directory = token.parent().and_then(Path::to_str).unwrap();
                    let secret = &volume_at(&pod, directory)["secret"];
                    assert_eq!(secret["defaultMode"].as_u64(), Some(0o440), "{pod}");
                }
                _ => {
                    let said: Vec<_> =
                        probe["exec"]["command"].as_sequence().unwrap().iter().map(text).collect();
                    assert_eq!(said, command, "{pod}");
                    assert!(
                        seconds(&probe["timeoutSeconds"]) > Duration::from_secs(5),
                        "millpond health takes 5 s"
                    );
                }
            }
        }
    }
}

#[test]
fn a_drain_ends_before_anything_is_killed() {
    for (pod, config) in pods() {
        let sleeps = pod
            .containers()
            .into_iter()
            .map(|container| &container["lifecycle"]["preStop"]["sleep"]["seconds"]);
        let sleep = sleeps.filter(|sleep| !sleep.is_null()).map(seconds).max().expect("a preStop");
        let grace = seconds(&pod.pod()["terminationGracePeriodSeconds"]);
        assert!(grace >= sleep + config.runtime.shutdown_timeout + Duration::from_secs(5), "{pod}");
    }
    let stop = |file: &str| unit_time(&read(file), "TimeoutStopSec=");
    let default = compiled("reference.toml", &read("config/reference.toml")).runtime.shutdown_timeout;
    assert!(stop("deploy/systemd/millpond.service") > default);
    let example = "deploy/systemd/examples/long-drain.conf";
    assert!(stop(example) > unit_time(&read(example), "Environment=MILLPOND_RUNTIME_SHUTDOWN_TIMEOUT="));
}

fn unit_time(unit: &str, key: &str) -> Duration {
    let value = unit.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("no {key}"));
    humantime::parse_duration(value).unwrap()
}

#[test]
fn pods_set_what_kubelet_allows_and_the_doctor_wants() {
    let shipped = sysctls();
    for (pod, _) in pods() {
        for sysctl in pod.pod()["securityContext"]["sysctls"].as_sequence().unwrap() {
            let (name, value) = (text(&sysctl["name"]), text(&sysctl["value"]));
            assert!(SAFE_SYSCTLS.contains(&name.as_str()), "{pod}: {name}");
            assert_eq!(shipped.get(&name), Some(&value), "{pod}: {name}");
        }
    }
}

#[test]
fn pods_have_no_rights() {
    for (pod, _) in pods() {
        let context = &pod.pod()["securityContext"];
        assert_eq!(context["runAsNonRoot"], true, "{pod}");
        assert_eq!(text(&context["seccompProfile"]["type"]), "RuntimeDefault", "{pod}");
        for container in pod.containers() {
            let context = &container["securityContext"];
            assert_eq!(context["allowPrivilegeEscalation"], false, "{pod}");
            assert_eq!(context["readOnlyRootFilesystem"], true, "{pod}");
            assert_eq!(context["capabilities"]["drop"], Value::from(vec!["ALL"]), "{pod}");
        }
    }
}

#[test]
fn services_lead_to_ports_of_pods() {
    let manifests = manifests::all();
    let services: Vec<_> = manifests.iter().filter(|manifest| manifest.kind() == "Service").collect();
    assert_eq!(services.len(), 5);
    for service in services {
        let is_its = |other: &&Manifest| other.file == service.file && !millpond_of(&other.value).is_null();
        let pod = manifests.iter().find(is_its).expect("the file has one");
        let labels = &pod.value["spec"]["template"]["metadata"]["labels"];
        assert_eq!(&service.value["spec"]["selector"], labels, "{service}");
        let names: Vec<_> =
            millpond_of(&pod.value)["ports"].as_sequence().unwrap().iter().map(|p| &p["name"]).collect();
        for port in service.value["spec"]["ports"].as_sequence().unwrap() {
            assert!(names.contains(&&port["targetPort"]), "{service}: {port:?}");
        }
    }
}

/// The ServiceMonitor finds the headless Services, and has their token.
#[test]
fn prometheus_finds_the_admin_servers() {
    let manifests = manifests::all();
    let monitor = manifests.iter().find(|manifest| manifest.kind() == "ServiceMonitor").unwrap();
    let wanted = monitor.value["spec"]["selector"]["matchLabels"].as_mapping().unwrap();
    let selected = manifests.iter().filter(|other| {
        let labels = &other.value["metadata"]["labels"];
        other.kind() == "Service" && wanted.iter().all(|(name, value)| &labels[name] == value)
    });
    let endpoint = &monitor.value["spec"]["endpoints"][0];
    let selected: Vec<_> = selected.collect();
    assert_eq!(selected.len(), 2, "of the Deployment and of the DaemonSet");
    for service in selected {
        assert_eq!(service.value["spec"]["ports"][0]["name"], endpoint["port"], "{service}");
        assert_eq!(
            service.value["metadata"]["namespace"], monitor.value["metadata"]["namespace"],
            "{service}"
        );
    }
    let secrets = pods()
        .into_iter()
        .filter(|(_, config)| config.admin.token_file.is_some())
        .map(|(pod, _)| text(&volume_at(&pod, "/run/secrets/millpond")["secret"]["secretName"]));
    secrets.for_each(|secret| assert_eq!(secret, text(&endpoint["authorization"]["credentials"]["name"])));
}

#[test]
fn the_compose_file_agrees_with_its_configuration() {
    let compose: Value = serde_norway::from_str(&read("deploy/compose/compose.yaml")).unwrap();
    let config = compiled("compose", &read("deploy/compose/millpond/millpond.toml"));
    let (services, proxy) = (compose["services"].as_mapping().unwrap(), &compose["services"]["millpond"]);
    let names = config.upstreams.iter().flat_map(|upstream| &upstream.names);
    let backends: BTreeSet<String> = services.keys().map(text).filter(|name| name != "millpond").collect();
    assert_eq!(names.map(|name| name.name.clone()).collect::<BTreeSet<_>>(), backends);
    let published = text(&proxy["ports"][0]);
    assert!(published.ends_with(&format!(":{}", config.listeners[0].bind[0].port())), "{published}");
    assert!(
        humantime::parse_duration(&text(&proxy["stop_grace_period"])).unwrap()
            > config.runtime.shutdown_timeout
    );
    let shipped = sysctls();
    for (name, value) in proxy["sysctls"].as_mapping().unwrap() {
        assert_eq!(shipped.get(&text(name)), Some(&text(value)), "{name:?}");
    }
}

/// Whatever is copied into the image is let through to its build, and nothing else.
#[test]
fn the_image_is_built_from_what_docker_is_given() {
    let (dockerfile, ignored) = (read("deploy/docker/Dockerfile"), read(".dockerignore"));
    let copied = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("COPY "))
        .filter(|line| !line.starts_with("--"));
    let copied: BTreeSet<&str> = copied.flat_map(|line| line.split(' ').rev().skip(1)).collect();
    let let_through: BTreeSet<&str> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    assert!(ignored.lines().any(|line| line == "*"));
    assert_eq!(copied, let_through);
    assert!(dockerfile.contains(&format!("CMD [\"{PROGRAM}\", \"health\", \"--live\"]")));
    assert!(dockerfile.contains(&format!("ENTRYPOINT [\"{PROGRAM}\"]")));
}

#[test]
fn the_package_has_what_its_manifest_names() {
    let manifest: toml_edit::DocumentMut = read("Cargo.toml").parse().unwrap();
    let deb = &manifest["package"]["metadata"]["deb"];
    let assets = deb["assets"].as_array().unwrap().iter().map(|asset| asset.as_array().unwrap());
    let sources: Vec<&str> = assets.map(|asset| asset.get(0).unwrap().as_str().unwrap()).collect();
    for source in sources.iter().filter(|source| !source.starts_with("target/")) {
        let (directory, name) = source.rsplit_once('/').unwrap_or((".", source));
        let files = fs::read_dir(at_root(directory)).unwrap_or_else(|error| panic!("{source}: {error}"));
        let extension = name.strip_prefix('*');
        let fits = |file: &str| extension.map_or(file == name, |extension| file.ends_with(extension));
        let mut names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        assert!(names.any(|file| fits(&file)), "there is no {source}");
    }
    let changes = read(deb["changelog"].as_str().unwrap());
    assert!(changes.starts_with(&format!("millpond ({}-1) ", env!("CARGO_PKG_VERSION"))), "{changes}");
    let unit = Path::new(deb["systemd-units"]["unit-scripts"].as_str().unwrap()).join("millpond.service");
    assert!(read(unit.to_str().unwrap()).contains(&format!("ExecStart={PROGRAM} run -c {}", conf_file(deb))));
}

fn conf_file(deb: &toml_edit::Item) -> &str {
    deb["conf-files"][0].as_str().unwrap()
}
