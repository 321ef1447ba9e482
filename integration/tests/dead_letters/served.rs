//! Dead letters over the API of the daemon that writes them.

use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use daemonry::api::ApiConfig;
use daemonry::daemon::Consumer;
use daemonry::handler::{Router, on};
use daemonry::kafka::KafkaConfig;
use daemonry::shutdown::{Exit, Shutdown};
use daemonry::supervisor::Supervisor;
use integration::patience::until;
use serde_json::{Value, json};

use crate::scene::{PATIENCE, Scene};

/// A daemon that reads the scene's topic, and its API.
struct Served {
    api: SocketAddr,
    /// Of the scene's letters.
    letters: String,
    shutdown: Shutdown,
    running: JoinHandle<Exit>,
}

impl Served {
    fn start(scene: &Scene) -> Result<Self> {
        let (kafka, topic) = (KafkaConfig::new(&scene.brokers, &scene.topic), scene.topic.clone());
        let supervisor = Supervisor::new().api(ApiConfig::new("127.0.0.1:0".parse()?)).daemon(move || {
            async fn handle() {}
            Consumer::new("orders", kafka.clone(), Router::new().topic(topic.as_str(), on(handle)))
        });
        let (roster, shutdown) = (supervisor.roster(), supervisor.shutdown());
        let running = thread::spawn(move || supervisor.run());
        let api = until(PATIENCE, "the API", || Ok(roster.api()))?;
        let letters = format!("/api/v1/daemons/orders/letters/{}", scene.letters);
        let served = Self { api, letters, shutdown, running };
        // It names its letters once it has begun.
        until(PATIENCE, "the letters", || Ok((served.ask("GET", &served.letters, None)?.0 == 200).then_some(())))?;
        Ok(served)
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let (status, body) = integration::send(&self.api.to_string(), Duration::from_secs(20), method, path, &body)?;
        Ok((status, serde_json::from_str(&body).with_context(|| format!("{path}: {body}"))?))
    }

    fn get(&self, path: &str) -> Result<Value> {
        let (status, answer) = self.ask("GET", path, None)?;
        ensure!(status == 200, "{path}: {status} {answer}");
        Ok(answer)
    }

    /// Has a job done, and answers how it has ended.
    fn done(&self, path: &str, body: &Value) -> Result<Value> {
        let (status, job) = self.ask("POST", path, Some(body))?;
        ensure!(status == 200, "{path}: {status} {job}");
        let path = format!("/api/v1/jobs/{}?wait=true", job["job"].as_str().unwrap_or_default());
        until(PATIENCE, "the job's end", || Ok(Some(self.get(&path)?).filter(|job| !job["ended_at"].is_null())))
    }

    /// Places of all letters that are listed, page by page.
    fn listed(&self, query: &str) -> Result<Vec<(u64, u64)>> {
        let (mut places, mut from) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("{}?limit=250{query}{from}", self.letters))?;
            let letters = page["letters"].as_array().context("no letters")?;
            let place = |letter: &Value| Some((letter["partition"].as_u64()?, letter["offset"].as_u64()?));
            places.extend(letters.iter().filter_map(place));
            let Some(next) = page["next"].as_str() else { return Ok(places) };
            from = format!("&from={next}");
        }
    }

    fn stop(self) -> Result<()> {
        self.shutdown.request();
        let exit = self.running.join().ok().context("it panicked")?;
        ensure!(exit == Exit::Drained, "it ended with {exit:?}");
        Ok(())
    }
}

#[test]
fn letters_are_read_redriven_and_discarded_over_the_api() -> Result<()> {
    let scene = Scene::open("served")?;
    scene.write(600, 20)?;
    let served = Served::start(&scene)?;
    let mut places = served.listed("")?;
    ensure!(places.len() == 600, "{} listed", places.len());
    places.sort_unstable();
    places.dedup();
    ensure!(places.len() == 600, "some are listed twice");

    let redrives = format!("{}/redrives", served.letters);
    let counted = served.done(&redrives, &json!({"reason": "the outage is over"}))?;
    assert_eq!((&counted["state"], &counted["counts"]["selected"]), (&json!("done"), &json!(600)), "{counted}");
    assert_eq!(scene.written()?.count(), 0, "it was counted alone");
    let execute = format!("/api/v1/jobs/{}/execute", counted["job"].as_str().unwrap_or_default());
    for expected in [600, 0] {
        let done = served.done(&execute, &json!({"selected": 600, "reason": "it is"}))?;
        assert_eq!((&done["state"], &done["counts"]["selected"]), (&json!("done"), &json!(expected)), "{done}");
    }
    scene.written()?.ensure_is(600, 20)?;
    assert_eq!(served.listed("")?, []);

    let discards = format!("{}/discards", served.letters);
    let which = json!({"partition": 0, "with_redriven": true});
    let done = served.done(&discards, &json!({"which": which, "reason": "a test", "execute": true}))?;
    let of_partition = places.iter().filter(|(partition, _)| *partition == 0).count();
    assert_eq!((&done["state"], &done["counts"]["selected"]), (&json!("done"), &json!(of_partition)), "{done}");
    let mark = served.get(&format!("{}/0/0", served.letters))?["mark"].clone();
    assert_eq!((&mark["kind"], &mark["reason"]), (&json!("discarded"), &json!("a test")));
    served.stop()
}
