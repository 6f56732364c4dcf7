//! docker-compose.yml and what goes with it, against the program: it can't be run without a
//! container engine, so it is read, and everything in it that names something of ours is checked.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use hissaback::{
    configuration::{Configuration, Environment, OVERRIDES, knows_variable},
    platform::Placement,
    roles::Role,
};
use serde::Deserialize;
use serde_json::Value;

/// The image that is built here.
const OURS: &str = "hissaback:";

#[derive(Debug, Deserialize)]
struct Compose {
    services: BTreeMap<String, Service>,
    volumes: BTreeMap<String, Option<Value>>,
}

#[derive(Debug, Deserialize)]
struct Service {
    image: String,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    volumes: Vec<String>,
    #[serde(default)]
    ports: Vec<String>,
    #[serde(default)]
    profiles: Vec<String>,
    #[serde(default)]
    depends_on: BTreeMap<String, Dependency>,
    healthcheck: Option<Healthcheck>,
    stop_grace_period: Option<String>,
    #[serde(default)]
    read_only: bool,
    #[serde(default)]
    cap_drop: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    condition: String,
}

#[derive(Debug, Deserialize)]
struct Healthcheck {
    test: Vec<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The compose file, with the variables of `deploy/example.env` set.
fn compose() -> Compose {
    let text = interpolated(&read("docker-compose.yml"));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("docker-compose.yml: {error}"))
}

/// Replaces `${NAME:?…}` and `${NAME:-…}`. Each name has to stand in `deploy/example.env`.
fn interpolated(text: &str) -> String {
    let example = read("deploy/example.env");
    let known: BTreeSet<&str> = example
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.split_once('=')?.0))
        .collect();
    let mut parts = text.split("${");
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (inside, rest) = part.split_once('}').expect("a variable ends");
        let (name, otherwise) = inside
            .split_once(':')
            .expect("it has a default or is asked for");
        assert!(known.contains(name), "deploy/example.env lacks {name}");
        whole.push_str(otherwise.strip_prefix('-').unwrap_or("Sesame1"));
        whole.push_str(rest);
    }
    whole
}

fn ours(compose: &Compose) -> impl Iterator<Item = (&String, &Service)> {
    compose
        .services
        .iter()
        .filter(|(_, service)| service.image.starts_with(OURS))
}

fn of_role(compose: &Compose, role: Role) -> &Service {
    let service = compose.services.get(role.name());
    service.unwrap_or_else(|| panic!("no service is called {role}"))
}

fn hissaback(arguments: &[String]) -> bool {
    let output = Command::new(env!("CARGO_BIN_EXE_hissaback"))
        .args(arguments)
        .arg("--help")
        .output()
        .expect("the program runs");
    output.status.success()
}

#[test]
fn every_command_is_a_command_of_the_program() {
    let compose = compose();
    let mut commands = 0;
    for (name, service) in ours(&compose) {
        commands += 1;
        assert!(!service.command.is_empty(), "{name} has no command");
        assert!(hissaback(&service.command), "{name}: {:?}", service.command);
    }
    assert!(
        commands > Role::ALL.len(),
        "only {commands} services are ours"
    );
    assert!(
        !hissaback(&["nonsense".to_owned()]),
        "the check finds nothing"
    );
}

#[test]
fn every_role_has_a_service_that_watches_over_itself_and_stops_in_time() {
    let compose = compose();
    for role in Role::ALL {
        let service = of_role(&compose, role);
        assert_eq!(service.command, [role.name()], "{role}");
        let healthcheck = service.healthcheck.as_ref().expect("a healthcheck");
        assert_eq!(
            healthcheck.test,
            ["CMD", "hissaback", "healthcheck"],
            "{role}"
        );
        assert_eq!(service.stop_grace_period.as_deref(), Some("60s"), "{role}");
        assert!(service.read_only && service.cap_drop == ["ALL"], "{role}");
        let migrated = &service.depends_on["migrate"].condition;
        assert_eq!(migrated, "service_completed_successfully", "{role}");
    }
}

#[test]
fn every_variable_is_one_that_the_program_reads() {
    let compose = compose();
    for (name, service) in ours(&compose) {
        for variable in service.environment.keys() {
            assert!(knows_variable(variable), "{name}: {variable}");
        }
    }
}

/// What a service is given is what its role needs, and keys and rights that it has no use for are
/// not among it.
#[test]
fn every_role_is_given_what_it_needs_and_no_more() {
    let secrets = tempfile::NamedTempFile::new().expect("a file");
    fs::write(secrets.path(), "{}").expect("written");
    let config = root().join("deploy/hissaback.toml");
    let compose = compose();
    for role in Role::ALL {
        let service = of_role(&compose, role);
        let mut variables = service.environment.clone();
        let given = variables.contains_key("HISSABACK_SECRETS_FILE");
        assert_eq!(given, role.uses_secrets(), "{role}");
        let mounted = service
            .volumes
            .iter()
            .any(|volume| volume == "secrets:/etc/hissaback:ro");
        assert_eq!(mounted, given, "{role}");
        if given {
            let path = secrets.path().to_str().expect("UTF-8").to_owned();
            variables.insert("HISSABACK_SECRETS_FILE".to_owned(), path);
        }
        assert_eq!(
            variables.remove("HISSABACK_CONFIG").as_deref(),
            Some("/etc/hissaback.toml")
        );
        let operator = variables.contains_key("DATABASE_OPERATOR_URL");
        assert_eq!(operator, role.reads_as_operator(), "{role}");
        assert!(!variables.contains_key("DATABASE_OWNER_URL"), "{role}");
        let clickhouse = variables.contains_key("CLICKHOUSE_URL");
        assert_eq!(clickhouse, role.asks_clickhouse(), "{role}");

        let environment: Environment = variables.into_iter().collect();
        let configuration = Configuration::read_with(Some(&config), &environment);
        let configuration = configuration.unwrap_or_else(|error| panic!("{role}: {error}"));
        assert_eq!(configuration.http.listen.to_string(), "0.0.0.0:8080");
        let placement = Placement::of_role(role, &configuration, PathBuf::from("/nowhere"));
        let placement = placement.unwrap_or_else(|error| panic!("{role}: {error}"));
        assert_eq!(placement.data_dir, None, "{role} embeds nothing");
    }
}

#[test]
fn images_are_pinned_by_version_and_named_plainly() {
    let compose = compose();
    let dockerfile = read("Dockerfile");
    let bases = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("FROM "));
    let bases = bases.map(|base| base.split(' ').next().unwrap_or_default().to_owned());
    let images = compose
        .services
        .values()
        .map(|service| service.image.clone());
    let mut looked_at = 0;
    for image in images.chain(bases) {
        looked_at += 1;
        let (name, version) = image.rsplit_once(':').expect("a version");
        assert!(
            version.contains(|letter: char| letter.is_ascii_digit()),
            "{image}"
        );
        let first = name.split('/').next().unwrap_or_default();
        assert!(!first.contains(['.', ':']), "{image} names a host");
    }
    assert!(looked_at > 10, "only {looked_at} images");
}

#[test]
fn what_services_refer_to_is_there() {
    let compose = compose();
    for (name, service) in &compose.services {
        for (other, Dependency { condition }) in &service.depends_on {
            let other = compose
                .services
                .get(other)
                .unwrap_or_else(|| panic!("{name} depends on {other}, which there isn't"));
            assert!(
                condition != "service_healthy" || other.healthcheck.is_some(),
                "{name} waits for a health that nobody checks"
            );
            assert!(
                other.profiles.is_empty(),
                "{name} depends on a service of a profile"
            );
        }
        for volume in &service.volumes {
            let source = volume.split(':').next().unwrap_or_default();
            let there = if source.starts_with('.') {
                root().join(source).exists()
            } else {
                compose.volumes.contains_key(source)
            };
            assert!(there, "{name}: {volume}");
        }
        for port in &service.ports {
            assert!(
                port.starts_with("127.0.0.1:"),
                "{name} opens {port} to everybody"
            );
        }
    }
}

/// Whatever isn't a role runs once, or is started by hand, or is watched over.
#[test]
fn nobody_runs_unwatched() {
    for (name, service) in &compose().services {
        let once = ["secrets", "migrate", "reference"].contains(&name.as_str());
        assert_eq!(service.healthcheck.is_none(), once, "{name}");
    }
}

#[derive(Debug, Deserialize)]
struct Prometheus {
    scrape_configs: Vec<ScrapeConfig>,
}

#[derive(Debug, Deserialize)]
struct ScrapeConfig {
    static_configs: Vec<StaticConfig>,
}

#[derive(Debug, Deserialize)]
struct StaticConfig {
    targets: Vec<String>,
}

#[test]
fn every_role_is_scraped() {
    let prometheus: Prometheus =
        serde_saphyr::from_str(&read("deploy/prometheus.yml")).expect("valid");
    let targets: BTreeSet<String> = prometheus
        .scrape_configs
        .into_iter()
        .flat_map(|job| job.static_configs)
        .flat_map(|group| group.targets)
        .collect();
    let expected = Role::ALL.map(|role| format!("{role}:8080"));
    assert_eq!(targets, BTreeSet::from(expected));
}

fn dashboards() -> Vec<(String, Value)> {
    let directory = root().join("deploy/grafana/dashboards");
    let entries = fs::read_dir(directory).expect("the dashboards");
    let mut dashboards: Vec<(String, Value)> = entries
        .map(|entry| {
            let name = entry.expect("an entry").file_name();
            let name = name.into_string().expect("UTF-8");
            let text = read(&format!("deploy/grafana/dashboards/{name}"));
            let value = serde_json::from_str(&text);
            let value = value.unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, value)
        })
        .collect();
    dashboards.sort_by(|one, other| one.0.cmp(&other.0));
    dashboards
}

/// Alerts and dashboards ask for metrics that there are: those that the operations page describes,
/// which another test compares with the code.
#[test]
fn alerts_and_dashboards_ask_for_metrics_that_there_are() {
    let alerts: Value = serde_saphyr::from_str(&read("deploy/alerts.yml")).expect("valid");
    let dashboards = dashboards();
    let mut expressions = Vec::new();
    collect_expressions(&alerts, &mut expressions);
    let of_alerts = expressions.len();
    for (_, dashboard) in &dashboards {
        collect_expressions(dashboard, &mut expressions);
    }
    assert!(of_alerts > 10 && expressions.len() > of_alerts + 20);
    let operations = read("docs/operations.md");
    for expression in expressions {
        let word = |letter: char| !(letter.is_ascii_alphanumeric() || letter == '_');
        let metrics = expression
            .split(word)
            .filter(|word| word.starts_with("hissaback_"));
        for metric in metrics {
            let name = metric.strip_suffix("_bucket").unwrap_or(metric);
            assert!(
                operations.contains(&format!("`{name}`")),
                "{name} in {expression}"
            );
        }
    }
}

/// Each alert says how urgent it is, and leads to a section of a page that there is.
#[test]
fn every_alert_has_a_runbook() {
    let alerts: Value = serde_saphyr::from_str(&read("deploy/alerts.yml")).expect("valid");
    let mut rules = 0;
    for group in alerts["groups"].as_array().expect("groups") {
        for rule in group["rules"].as_array().expect("rules") {
            rules += 1;
            let name = rule["alert"].as_str().expect("a name");
            let severity = rule["labels"]["severity"].as_str();
            assert!(matches!(severity, Some("page" | "ticket")), "{name}");
            assert!(rule["annotations"]["summary"].is_string(), "{name}");
            let url = rule["annotations"]["runbook_url"].as_str();
            let (page, anchor) = url.and_then(|url| url.split_once('#')).expect(name);
            let anchors: Vec<String> = read(page).lines().filter_map(anchor_of).collect();
            assert!(
                anchors.iter().any(|found| found == anchor),
                "{name}: {anchor}"
            );
        }
    }
    let sections = read("docs/alerts.md").matches("\n## ").count();
    assert_eq!(
        sections, rules,
        "docs/alerts.md has a section for each rule"
    );
}

/// What a heading is linked to by.
fn anchor_of(line: &str) -> Option<String> {
    let heading = line.trim_start_matches('#');
    let title = heading
        .strip_prefix(' ')
        .filter(|_| line.starts_with('#'))?;
    let kept = title
        .to_lowercase()
        .chars()
        .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'))
        .collect::<String>();
    Some(kept.replace(' ', "-"))
}

/// Each panel asks a datasource that is provisioned, and no two dashboards go by one name.
#[test]
fn every_panel_has_its_datasource() {
    let mut known = BTreeSet::new();
    for name in ["prometheus", "clickhouse"] {
        let path = format!("deploy/grafana/provisioning/datasources/{name}.yml");
        let file: Value = serde_saphyr::from_str(&read(&path)).expect("valid");
        for source in file["datasources"].as_array().expect("datasources") {
            known.insert((source["type"].to_string(), source["uid"].to_string()));
        }
    }
    let mut names = BTreeSet::new();
    for (file, dashboard) in dashboards() {
        assert!(names.insert(dashboard["uid"].to_string()), "{file}");
        let panels = dashboard["panels"].as_array().expect("panels");
        assert!(panels.len() >= 8, "{file}");
        let mut ids = BTreeSet::new();
        for panel in panels {
            assert!(ids.insert(panel["id"].to_string()), "{file}");
            let source = &panel["datasource"];
            let source = (source["type"].to_string(), source["uid"].to_string());
            assert!(known.contains(&source), "{file}: {}", panel["title"]);
            for target in panel["targets"].as_array().expect("targets") {
                let asks = target["expr"].is_string() != target["rawSql"].is_string();
                assert!(asks, "{file}: {}", panel["title"]);
            }
        }
    }
    let plugins = compose().services["grafana"].environment["GF_INSTALL_PLUGINS"].clone();
    let of_panels = known.iter().filter(|(kind, _)| kind.contains(&plugins));
    assert_eq!(
        of_panels.count(),
        1,
        "the plugin {plugins} is for a datasource"
    );
}

/// The value of every key `expr`.
fn collect_expressions<'a>(value: &'a Value, expressions: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value.as_str() {
                    Some(text) if key == "expr" => expressions.push(text),
                    _ => collect_expressions(value, expressions),
                }
            }
        }
        Value::Array(values) => {
            for value in values {
                collect_expressions(value, expressions);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn grafana_is_provisioned_with_files_that_are_read() {
    for path in [
        "deploy/grafana/provisioning/datasources/clickhouse.yml",
        "deploy/grafana/provisioning/datasources/prometheus.yml",
        "deploy/grafana/provisioning/dashboards/hissaback.yml",
    ] {
        let file: Value = serde_saphyr::from_str(&read(path)).expect("valid");
        assert_eq!(file["apiVersion"], 1, "{path}");
    }
}

#[test]
fn the_image_is_built_in_stages_and_runs_without_rights() {
    let dockerfile = read("Dockerfile");
    let stages = dockerfile.lines().filter(|line| line.starts_with("FROM "));
    assert_eq!(stages.count(), 2);
    let last = dockerfile.rsplit("FROM ").next().unwrap_or_default();
    assert!(last.contains("\nUSER hissaback\n") && last.contains("STOPSIGNAL SIGTERM"));
    assert!(last.contains("ENTRYPOINT [\"hissaback\"]"));
    let ignored = read(".dockerignore");
    for path in ["target", ".*", "**/secrets.json"] {
        assert!(
            ignored.lines().any(|line| line == path),
            "{path} goes into the image"
        );
    }
    // Nothing in the repository's files for containers holds a secret.
    for line in read("deploy/example.env").lines() {
        let secret = line
            .split_once('=')
            .filter(|(name, _)| name.contains("PASSWORD"));
        assert!(secret.is_none_or(|(_, value)| value.is_empty()), "{line}");
    }
}

#[test]
fn every_variable_is_documented() {
    let operations = read("docs/operations.md");
    for one in OVERRIDES {
        assert!(
            operations.contains(&format!("`{}`", one.variable)),
            "{}",
            one.variable
        );
    }
}
