//! A real Chromium, driven through chromedriver as somebody's hands and eyes would.
//!
//! The invariant: neither outlives its test.

use std::process::Command;

use anyhow::{Context as _, Result};
use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use http::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use integration::Member;
use integration::patience::until;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use url::{ParseError, Url};

use crate::scene::PATIENCE;

/// How large a window is.
pub(crate) const WIDE: (u32, u32) = (1440, 900);
pub(crate) const NARROW: (u32, u32) = (390, 844);

/// See the module.
pub(crate) struct Browser {
    client: Option<Client>,
    runtime: Runtime,
    driver: Member,
    _directory: TempDir,
    /// Where the pages are.
    base: String,
}

impl Browser {
    /// Opens a window on what is served there.
    pub(crate) fn open(base: &str) -> Result<Self> {
        Self::start(base, true)
    }

    /// The same of somebody who lets no script run.
    pub(crate) fn without_scripts(base: &str) -> Result<Self> {
        Self::start(base, false)
    }

    fn start(base: &str, scripts: bool) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let (driver, address) = drive(&directory)?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let mut browser = Self { client: None, runtime, driver, _directory: directory, base: base.to_owned() };
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ];
        // As its settings have it: 2 forbids.
        let preferences = json!({"profile.managed_default_content_settings.javascript": if scripts { 1 } else { 2 }});
        let mut wanted = Map::new();
        wanted.insert("goog:chromeOptions".to_owned(), json!({"args": arguments, "prefs": preferences}));
        wanted.insert("goog:loggingPrefs".to_owned(), json!({"browser": "ALL"}));
        let connect = async {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            builder.capabilities(wanted).connect(&address).await
        };
        browser.client = Some(browser.runtime.block_on(connect).context("Chromium does not start")?);
        browser.resize(WIDE)?;
        Ok(browser)
    }

    fn client(&self) -> Result<&Client> {
        self.client.as_ref().context("it is closed")
    }

    pub(crate) fn resize(&self, (width, height): (u32, u32)) -> Result<()> {
        Ok(self.runtime.block_on(self.client()?.set_window_size(width, height))?)
    }

    /// Goes to a page, by its path.
    pub(crate) fn goto(&self, path: &str) -> Result<()> {
        Ok(self.runtime.block_on(self.client()?.goto(&format!("{}{path}", self.base)))?)
    }

    /// The path of the page that is shown, with what stands behind `?`.
    pub(crate) fn at(&self) -> Result<String> {
        let url = self.runtime.block_on(self.client()?.current_url())?;
        Ok(match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        })
    }

    /// Does this with the first of these, once there is one: a page may be on its way, and what is live is another element a moment later.
    fn with<T>(&self, css: &str, act: impl AsyncFn(Element) -> Result<T, CmdError>) -> Result<T> {
        let client = self.client()?;
        let done = until(PATIENCE, css, || {
            let acted = self.runtime.block_on(async { act(client.find(Locator::Css(css)).await?).await });
            match acted {
                Ok(done) => Ok(Some(done)),
                Err(error) if error.is_no_such_element() || error.is_stale_element_reference() => Ok(None),
                Err(error) => Err(error.into()),
            }
        });
        done.with_context(|| format!("`{css}` at {}: {}", self.at().unwrap_or_default(), self.seen()))
    }

    /// What can be read in all of these, each by itself.
    pub(crate) fn texts(&self, css: &str) -> Result<Vec<String>> {
        let texts = self.run(&format!("return [...document.querySelectorAll({css:?})].map(e => e.innerText)"))?;
        Ok(serde_json::from_value(texts)?)
    }

    /// What can be read in the first of these.
    pub(crate) fn text(&self, css: &str) -> Result<String> {
        self.with(css, async |element| element.text().await)
    }

    /// Waits until another page than this is shown.
    pub(crate) fn leaves(&self, path: &str) -> Result<()> {
        let left = until(PATIENCE, "another page", || Ok((self.at()? != path).then_some(())));
        left.with_context(|| format!("at {path}: {}", self.seen()))
    }

    /// What can be read of the whole page.
    pub(crate) fn seen(&self) -> String {
        self.text_of_body().unwrap_or_else(|error| format!("{error:#}"))
    }

    fn text_of_body(&self) -> Result<String> {
        let text = self.run("return document.body.innerText")?;
        Ok(text.as_str().context("no text")?.to_owned())
    }

    /// Waits until this can be read on the page.
    pub(crate) fn sees(&self, text: &str) -> Result<()> {
        let seen =
            until(PATIENCE, text, || Ok(self.text_of_body().is_ok_and(|body| body.contains(text)).then_some(())));
        seen.with_context(|| format!("at {}: {}", self.at().unwrap_or_default(), self.seen()))
    }

    /// The same of a page that is not live: it is asked for again meanwhile.
    pub(crate) fn sees_at(&self, path: &str, text: &str) -> Result<()> {
        let seen = until(PATIENCE, text, || {
            self.goto(path)?;
            Ok(self.text_of_body()?.contains(text).then_some(()))
        });
        seen.with_context(|| format!("at {path}: {}", self.seen()))
    }

    pub(crate) fn click(&self, css: &str) -> Result<()> {
        self.with(css, async |element| element.click().await)
    }

    /// Fills in the fields of a form, by their names, as with a keyboard.
    fn fill(&self, form: &str, fields: &[(&str, &str)]) -> Result<()> {
        for (name, value) in fields {
            self.with(&format!("{form} [name=\"{name}\"]"), async |field| {
                if field.tag_name().await? == "select" {
                    return field.select_by_value(value).await;
                }
                field.clear().await?;
                field.send_keys(value).await
            })?;
        }
        Ok(())
    }

    /// Fills in a form, and presses its button, or that with this selector within it; the answer is shown then.
    pub(crate) fn submit(&self, form: &str, fields: &[(&str, &str)], button: &str) -> Result<()> {
        self.fill(form, fields)?;
        self.send(&format!("{form} {button}"))
    }

    /// The same where the page itself says that something is amiss, and sends nothing.
    pub(crate) fn is_kept_from_sending(&self, form: &str, fields: &[(&str, &str)], button: &str) -> Result<bool> {
        self.fill(form, fields)?;
        self.click(&format!("{form} {button}"))?;
        Ok(self.run(&format!("return document.querySelector({:?}) !== null", format!("{form}:invalid")))? == true)
    }

    /// Presses a button that sends its form, and waits for the page that answers: whoever goes elsewhere at once may take the request back.
    pub(crate) fn send(&self, css: &str) -> Result<()> {
        self.run("window.before = true")?;
        self.click(css)?;
        // Between two pages there is nothing that could be asked.
        let answered = || self.run("return !window.before && document.readyState === 'complete'");
        let gone = until(PATIENCE, "an answer", || Ok(answered().is_ok_and(|it| it == true).then_some(())));
        gone.with_context(|| format!("`{css}` at {}: {}", self.at().unwrap_or_default(), self.seen()))
    }

    /// Presses a key anywhere on the page.
    pub(crate) fn press(&self, key: &str) -> Result<()> {
        self.with("body", async |body| body.send_keys(key).await)
    }

    /// What a script makes of the page.
    pub(crate) fn run(&self, script: &str) -> Result<Value> {
        Ok(self.runtime.block_on(self.client()?.execute(script, Vec::new()))?)
    }

    /// What the browser has complained of since it was asked last: scripts that failed, what the page's policy forbids, what can't be loaded.
    pub(crate) fn complaints(&self) -> Result<Vec<String>> {
        let entries = self.runtime.block_on(self.client()?.issue_cmd(Console))?;
        let entries = entries.as_array().context("no list of messages")?;
        Ok(entries.iter().map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            // The window goes with it.
            self.runtime.block_on(client.close()).ok();
        }
        self.driver.stop(PATIENCE).ok();
    }
}

/// Asks for the messages of the browser's console.
#[derive(Debug)]
struct Console;

impl WebDriverCompatibleCommand for Console {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(json!({"type": "browser"}).to_string()))
    }
}

/// Starts a chromedriver; it says where it listens.
fn drive(directory: &TempDir) -> Result<(Member, String)> {
    let mut command = Command::new("chromedriver");
    command.arg("--port=0");
    let mut driver = Member::run(command, directory.path().join("chromedriver.log"))
        .context("`scripts/tools.sh browser` installs it")?;
    let said = "started successfully on port ";
    driver.until_log(said, PATIENCE)?;
    let log = driver.log()?;
    let (_, port) = log.split_once(said).context("it was just there")?;
    let port: String = port.chars().take_while(char::is_ascii_digit).collect();
    Ok((driver, format!("http://127.0.0.1:{port}")))
}
