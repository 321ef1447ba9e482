//! Programs that run to their end within the test. What needs signals is in `app_process.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::anyhow;
use async_trait::async_trait;
use parking_lot::Mutex;

use daemonry::app::{App, Setup};
use daemonry::config::{Period, Secret};
use daemonry::daemon::{Daemon, DaemonContext, DaemonError, Ended};
use daemonry::shutdown::Exit;

/// What daemons have to say.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    fn write(&self, line: impl Into<String>) {
        self.0.lock().push(line.into());
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = self.0.lock().clone();
        lines.sort();
        lines
    }
}

/// Says its line and ends.
struct Speaker {
    diary: Diary,
    line: String,
}

#[async_trait]
impl Daemon for Speaker {
    fn name(&self) -> &str {
        "a name that nobody registered"
    }

    async fn run(self: Box<Self>, context: DaemonContext) -> Result<Ended, DaemonError> {
        self.diary.write(format!("{}: {}", context.name(), self.line));
        Ok(Ended::Drained)
    }
}

fn speaks(diary: &Diary, line: &str) -> impl Fn(&Setup, &()) -> Speaker + Send + 'static + use<> {
    let (diary, line) = (diary.clone(), line.to_owned());
    move |_, ()| Speaker { diary: diary.clone(), line: line.clone() }
}

/// A file that is there as long as the test.
fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(&file, format!("admin: {{enabled: false}}\nlog: {{filter: off}}\n{text}"))
        .expect("it can be written");
    file
}

fn run<S: Clone + Send + 'static>(app: App<S>, text: &str) -> Exit {
    let file = file(text);
    let path = file.path().to_str().expect("a path that is text");
    app.run_with(["shop", "run", "--config", path])
}

#[test]
fn daemons_run_under_the_names_that_they_are_registered_with() {
    let diary = Diary::default();
    let app = App::new("shop").daemon("one", speaks(&diary, "here")).daemon("two", speaks(&diary, "too"));
    assert_eq!(run(app, "daemons: {one: {}, two: {}}"), Exit::Drained);
    assert_eq!(diary.lines(), ["one: here", "two: too"]);
}

#[test]
fn daemon_that_is_not_enabled_is_left_out() {
    let diary = Diary::default();
    let app = App::new("shop").daemon("one", speaks(&diary, "here")).daemon("two", speaks(&diary, "too"));
    assert_eq!(run(app, "daemons: {one: {}, two: {enabled: false}}"), Exit::Drained);
    assert_eq!(diary.lines(), ["one: here"]);
}

#[test]
fn configuration_that_can_not_work_starts_nothing() {
    let diary = Diary::default();
    let connected = Arc::new(AtomicUsize::new(0));
    let connects = Arc::clone(&connected);
    let app = App::new("shop").daemon("one", speaks(&diary, "here")).state(async move |_| {
        connects.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    assert_eq!(run(app, "daemons: {one: {wrong: true}}"), Exit::Misconfigured);
    assert_eq!((diary.lines().len(), connected.load(Ordering::Relaxed)), (0, 0));
}

#[derive(serde::Deserialize)]
struct Shop {
    currency: String,
    patience: Period,
    api_key: Secret,
}

#[test]
fn state_is_made_once_from_the_own_section_and_shared() {
    let diary = Diary::default();
    let connect = async |setup: Setup| {
        let shop: Shop = setup.app()?;
        Ok(Arc::new(format!("{} {} {}", shop.currency, shop.patience, shop.api_key.reveal())))
    };
    let speaks = |diary: &Diary| {
        let diary = diary.clone();
        move |_: &Setup, state: &Arc<String>| Speaker { diary: diary.clone(), line: state.to_string() }
    };
    let app = App::new("shop").section::<Shop>().state(connect);
    let app = app.daemon("one", speaks(&diary)).daemon("two", speaks(&diary));
    let text = "daemons: {one: {}, two: {}}\napp: {currency: USD, patience: 90s, api_key: hush}";
    assert_eq!(run(app, text), Exit::Drained);
    assert_eq!(diary.lines(), ["one: USD 1min30s hush", "two: USD 1min30s hush"]);
}

#[test]
fn daemon_that_needs_no_state_can_be_added_before_it() {
    let diary = Diary::default();
    let app = App::new("shop").daemon("one", speaks(&diary, "here")).state(async |_| Ok(7_u8));
    assert_eq!(run(app, "daemons: {one: {}}"), Exit::Drained);
    assert_eq!(diary.lines(), ["one: here"]);
}

#[test]
fn section_that_was_not_announced_is_not_given() {
    let app = App::new("shop").section::<Shop>().daemon("one", speaks(&Diary::default(), "here"));
    let app = app.state(async |setup: Setup| {
        let error = setup.app::<String>().expect_err("it is no text");
        assert_eq!(
            error.to_string(),
            "the `app` section was not announced as this type: add `.section::<alloc::string::String>()` to the `App`"
        );
        Ok(())
    });
    let text = "daemons: {one: {}}\napp: {currency: USD, patience: 90s, api_key: hush}";
    assert_eq!(run(app, text), Exit::Drained);
}

#[test]
fn state_that_can_not_be_made_ends_with_4_before_any_daemon_starts() {
    let diary = Diary::default();
    let app = App::new("shop").daemon("one", speaks(&diary, "here"));
    let app = app.state(async |_| Err::<(), _>(anyhow!("no database")));
    assert_eq!(run(app, "daemons: {one: {}}"), Exit::Failed);
    assert!(diary.lines().is_empty());
}

#[test]
fn tasks_of_the_state_live_as_long_as_the_daemons() {
    let diary = Diary::default();
    let connect = async |_| {
        let (ask, mut asked) = tokio::sync::mpsc::channel::<tokio::sync::oneshot::Sender<u8>>(1);
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move {
            while let Some(answer) = asked.recv().await {
                answer.send(7).expect("it waits");
            }
        });
        Ok((ask, Arc::new(tasks)))
    };
    type Asking = (tokio::sync::mpsc::Sender<tokio::sync::oneshot::Sender<u8>>, Arc<tokio::task::JoinSet<()>>);
    struct Asks(Asking, Diary);
    #[async_trait]
    impl Daemon for Asks {
        fn name(&self) -> &str {
            "asks"
        }
        async fn run(self: Box<Self>, _: DaemonContext) -> Result<Ended, DaemonError> {
            let (ask, answer) = tokio::sync::oneshot::channel();
            self.0.0.send(ask).await.expect("the task runs");
            self.1.write(answer.await.expect("it answers").to_string());
            Ok(Ended::Drained)
        }
    }
    let asks = diary.clone();
    let app =
        App::new("shop").state(connect).daemon("asks", move |_, state: &Asking| Asks(state.clone(), asks.clone()));
    assert_eq!(run(app, "daemons: {asks: {}}"), Exit::Drained);
    assert_eq!(diary.lines(), ["7"]);
}

#[test]
fn command_of_its_own_launches_the_program_with_more_daemons() {
    let diary = Diary::default();
    let (one, two) = (speaks(&diary, "here"), speaks(&diary, "added"));
    let told = diary.clone();
    let app = App::new("shop").daemon("one", one).command("demo", "Shows it", move |launch| {
        told.write(launch.arguments().join("+"));
        let exit = launch
            .config("demo.yaml", "kafka: {main: {brokers: \"a:1\", group: demo}}\ndaemons: {one: {}}")
            .set("admin.enabled", false)
            .set("log.filter", "off")
            .daemon("two", two)
            .run();
        Ok(exit)
    });
    assert_eq!(app.run_with(["shop", "demo", "--set", "log.filter=off", "fast", "loud"]), Exit::Drained);
    assert_eq!(diary.lines(), ["fast+loud", "one: here", "two: added"]);
}

#[test]
fn command_is_given_its_options_and_can_look_at_the_program_that_it_runs() {
    let diary = Diary::default();
    let told = diary.clone();
    let app = App::new("shop").daemon("one", speaks(&diary, "here")).command("demo", "Shows it", move |launch| {
        told.write(format!("for {:?}, as {:?}", launch.option("for"), launch.option("as")));
        let (metrics, roster, shutdown) = (launch.metrics(), launch.roster(), launch.shutdown());
        assert!(roster.daemons().is_empty() && roster.admin().is_none() && !shutdown.is_requested());
        let exit = launch
            .config("demo.yaml", "daemons: {one: {}}")
            .set("admin.address", "127.0.0.1:0")
            .set("log.filter", "off")
            .run();
        let daemons = roster.daemons();
        told.write(format!("{} {:?}", daemons[0].name, daemons[0].state));
        assert!(metrics.render().contains(r#"daemon_state{daemon_name="one",state="ended"} 1"#));
        assert!(roster.admin().is_some_and(|address| address.port() > 0) && shutdown.is_requested());
        Ok(exit)
    });
    let app = app.option("for", "TIME", "Ends after so long").option("as", "NAME", "Under this name");
    assert_eq!(app.run_with(["shop", "demo", "--for", "20s"]), Exit::Drained);
    assert_eq!(diary.lines(), ["for Some(\"20s\"), as None", "one Ended(Drained)", "one: here"]);
}

#[test]
fn command_that_fails_ends_with_4_and_one_with_a_wrong_configuration_with_2() {
    let app = || App::new("shop").daemon("one", speaks(&Diary::default(), "here"));
    let fails = app().command("demo", "Fails", |_| Err(anyhow!("no port is free")));
    assert_eq!(fails.run_with(["shop", "demo"]), Exit::Failed);
    let wrong = app().command("demo", "Is wrong", |launch| Ok(launch.config("demo.yaml", "daemons: {two: {}}").run()));
    assert_eq!(wrong.run_with(["shop", "demo"]), Exit::Misconfigured);
    // What the command line sets counts more than the command.
    let set = app().command("demo", "Is set right", |launch| {
        Ok(launch
            .config("demo.yaml", "admin: {enabled: false}\nlog: {filter: off}\ndaemons: {one: {}}")
            .set("log.format", "xml")
            .run())
    });
    assert_eq!(set.run_with(["shop", "demo", "--set", "log.format=json"]), Exit::Drained);
}

/// Fails at each of its starts.
struct Fails(Arc<AtomicUsize>);

#[async_trait]
impl Daemon for Fails {
    fn name(&self) -> &str {
        "fails"
    }

    async fn run(self: Box<Self>, _: DaemonContext) -> Result<Ended, DaemonError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Err(DaemonError::failed("no luck"))
    }
}

#[test]
fn daemon_that_fails_is_restarted_as_the_configuration_says() {
    for (max, starts) in [(0, 1), (2, 3)] {
        let started = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&started);
        let app = App::new("shop").daemon("one", move |_, ()| Fails(Arc::clone(&counted)));
        assert_eq!(
            run(app, &format!("daemons: {{one: {{}}}}\nrestart: {{max: {max}, base: 1ms, cap: 2ms}}")),
            Exit::Failed
        );
        assert_eq!(started.load(Ordering::Relaxed), starts, "{max} restarts");
    }
}
