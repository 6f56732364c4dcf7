//! A real browser: Chromium, driven as W3C WebDriver says (and by Chrome's DevTools, for what
//! WebDriver has no word for), through the chromedriver of the same packages.
//!
//! A missing browser is a failure and never a skip: `scripts/setup.sh browser` installs it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use axum::body::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};

/// How long anything may take to show.
pub const PATIENCE: Duration = Duration::from_secs(10);
pub const POLL: Duration = Duration::from_millis(20);
/// The name of the member that stands for an element in WebDriver's JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// Keys, as WebDriver writes them.
pub const TAB: char = '\u{e004}';
pub const ENTER: char = '\u{e007}';

pub struct Browser {
    driver: Child,
    client: Client<HttpConnector, Full<Bytes>>,
    /// The session's address.
    session: String,
    // The profile, which goes with the browser.
    _profile: tempfile::TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Chromium doesn't end with its driver: the session has to be ended, however a test does.
        let (host, path) = self.session["http://".len()..]
            .split_once('/')
            .expect("an address");
        let ended = TcpStream::connect(host).and_then(|mut stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            write!(
                stream,
                "DELETE /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            )?;
            // The answer comes once Chromium has ended.
            stream.read_exact(&mut [0; "HTTP/1.1 200".len()])
        });
        let ended = ended.and(self.driver.kill().and_then(|()| self.driver.wait()));
        if let Err(error) = ended {
            eprintln!("the browser may still run: {error}");
        }
    }
}

impl Browser {
    pub async fn open() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .env("TZ", "UTC")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is missing: `scripts/setup.sh browser` installs it");
        let lines = BufReader::new(driver.stdout.take().expect("piped")).lines();
        let port = lines
            .map(|line| line.expect("text"))
            .find_map(|line| {
                let (_, port) = line.split_once("started successfully on port ")?;
                Some(port.trim_end_matches('.').to_owned())
            })
            .expect("chromedriver says where it listens");
        let profile = tempfile::tempdir().expect("a directory");
        let directory = format!("--user-data-dir={}", profile.path().display());
        let mut browser = Self {
            driver,
            client: Client::builder(TokioExecutor::new()).build_http(),
            session: format!("http://127.0.0.1:{port}/session"),
            _profile: profile,
        };
        let arguments = [
            "--headless",
            // As root, as in a container, Chromium has no sandbox of its own.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--lang=en-GB",
            "--window-size=900,1200",
        ];
        let arguments: Vec<&str> = arguments.into_iter().chain([directory.as_str()]).collect();
        let opened = browser
            .post(
                "",
                json!({"capabilities": {"alwaysMatch": {
                    "browserName": "chrome",
                    "goog:chromeOptions": {"args": arguments},
                    "goog:loggingPrefs": {"browser": "ALL"},
                }}}),
            )
            .await;
        let id = opened["sessionId"].as_str().expect("a session");
        browser.session = format!("{}/{id}", browser.session);
        browser
    }

    async fn ask(&self, method: Method, path: &str, body: String) -> Value {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.session))
            .header("content-type", "application/json")
            .body(Full::from(body))
            .expect("a request");
        let response = self.client.request(request).await.expect("answered");
        let status = response.status();
        let bytes = response.into_body().collect().await.expect("a body");
        let mut answer: Value = serde_json::from_slice(&bytes.to_bytes()).expect("JSON");
        let value = answer["value"].take();
        assert!(status.is_success(), "{path}: {value}");
        value
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.ask(Method::POST, path, body.to_string()).await
    }

    pub async fn go_to(&self, url: &str) {
        self.post("/url", json!({"url": url})).await;
    }

    /// Runs the body of a function in the page.
    pub async fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", json!({"script": script, "args": []}))
            .await
    }

    /// What an expression is, once it is true.
    pub async fn until(&self, expression: &str) -> Value {
        let script = format!("return {expression}");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let value = self.run(&script).await;
            if !matches!(value, Value::Null | Value::Bool(false)) {
                return value;
            }
            if Instant::now() > deadline {
                let shown = "return [...document.querySelectorAll('hissaback-offers')] \
                             .map((widget) => widget.shadowRoot?.textContent)";
                let shown = self.run(shown).await;
                panic!(
                    "never true: {expression}\n{shown}\n{:?}",
                    self.console().await
                );
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Clicks on the element that an expression gives, as a person would: it has to be in sight.
    pub async fn click(&self, expression: &str) {
        let element = self.until(expression).await;
        let id = element[ELEMENT].as_str().expect("an element");
        self.post(&format!("/element/{id}/click"), json!({})).await;
    }

    /// Presses and releases keys, one after the other, wherever the focus is.
    pub async fn press(&self, keys: &[char]) {
        let actions: Vec<Value> = keys
            .iter()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key})))
            .collect();
        let keyboard = json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]});
        self.post("/actions", keyboard).await;
    }

    /// Types into the element that an expression gives.
    pub async fn fill(&self, expression: &str, text: &str) {
        let element = self.until(expression).await;
        let id = element[ELEMENT].as_str().expect("an element");
        let path = format!("/element/{id}/value");
        self.post(&path, json!({"text": text})).await;
    }

    /// Sends a command of the DevTools protocol.
    pub async fn devtools(&self, command: &str, parameters: Value) {
        let asked = json!({"cmd": command, "params": parameters});
        self.post("/goog/cdp/execute", asked).await;
    }

    /// What the console said since it was last asked: level and text.
    pub async fn console(&self) -> Vec<(String, String)> {
        let entries = self.post("/se/log", json!({"type": "browser"})).await;
        let entries = entries.as_array().expect("a list").iter();
        let text = |entry: &Value, member: &str| entry[member].as_str().expect("text").to_owned();
        entries
            .map(|entry| (text(entry, "level"), text(entry, "message")))
            .collect()
    }

    /// How many tabs are open.
    pub async fn tabs(&self) -> usize {
        let tabs = self
            .ask(Method::GET, "/window/handles", String::new())
            .await;
        tabs.as_array().expect("a list").len()
    }
}
