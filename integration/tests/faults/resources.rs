//! Machines that run out of something.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use integration::checker::Order;
use integration::patience::{unix_ms, until_true};
use integration::payload::Mix;
use integration::{Broker, BrokerOptions, Member, Proxy, Scenario, brokers, namespace};

const SOON: Duration = Duration::from_secs(40);
/// What progress may take once there is enough again.
const BOUND: Duration = Duration::from_secs(30);
/// What a probe may take then, though it is the first to be asked: a half of what Kubernetes waits for one.
const PROBE: Duration = Duration::from_millis(500);

/// The process loses its connections while it may open none.
#[test]
fn file_descriptors_exhausted() -> Result<()> {
    const NAME: &str = "PROXIED";
    let proxy = Proxy::start()?;
    let broker = Broker::start(BrokerOptions::default().listener_behind(NAME, proxy.port()))?;
    proxy.lead_to(&broker.listener(NAME))?;
    let mut scenario = Scenario::open(&broker.bootstrap(), "descriptors", Order::Key)?;
    let flags = scenario.flags().with("brokers", proxy.address()).with("admin", "127.0.0.1:0");
    let load = scenario.load(100, Mix::default());
    let mut member = scenario.start(&flags)?;
    scenario.until_works(&mut member, SOON)?;
    scenario.watch(&mut member)?;
    scenario.until_more(100, SOON)?;

    scenario.expect_broken_connections();
    scenario.expect_error("Too many open files");
    // Those that are open stay so; the next one is refused. Its admin server can't take a connection either.
    let deaf = unix_ms();
    member.limit_descriptors(Some(3))?;
    proxy.hang_up();
    member.until_log("Too many open files", SOON)?;
    std::thread::sleep(Duration::from_secs(5));
    ensure!(member.ended()?.is_none(), "it ended, log {}", member.log_path().display());
    member.limit_descriptors(None)?;
    let asked = Instant::now();
    scenario.watches()[0].note_deaf(deaf, unix_ms());
    scenario.note_resumption("there were descriptors again", BOUND);
    let (status, _) = member.get("/livez")?;
    let took = asked.elapsed();
    eprintln!("descriptors: /livez took {took:?}");
    ensure!(status == 200 && took < PROBE, "/livez said {status}, {took:?} after there were descriptors again");
    scenario.until_resumed()?;

    scenario.unload(load)?;
    let verdict = scenario.pass(vec![member], SOON)?;
    assert_eq!(verdict.duplicates, 0, "{verdict}");
    Ok(())
}

/// Whatever the process logs, there is no room for it: `/dev/full` says so to each write.
#[test]
fn disk_full() -> Result<()> {
    let mut scenario = Scenario::open(&brokers()?, "disk-full", Order::Key)?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let flags = scenario.flags().with("admin", format!("127.0.0.1:{port}"));
    let load = scenario.load(150, Mix::default());
    // Much of it, so that nobody gets by with saying little.
    let mut member = Member::start(&flags.log("debug"), PathBuf::from("/dev/full"))?;
    scenario.until_works(&mut member, SOON)?;
    scenario.watch(&mut member)?;
    scenario.until_more(1_000, SOON)?;
    scenario.unload(load)?;
    let verdict = scenario.pass(vec![member], SOON)?;
    assert!(verdict.letters > 0 && verdict.duplicates == 0, "{verdict}");
    Ok(())
}

/// The log's file system, a real one, has no room left, and later has; meanwhile every other one is read-only, but for the ledger's.
#[test]
fn disk_full_and_the_others_read_only() -> Result<()> {
    const SIZE: u64 = 4 << 20;
    if !namespace::is_inside_with_mounts("resources::disk_full_and_the_others_read_only")? {
        return Ok(());
    }
    let mut scenario = Scenario::open(&brokers()?, "disk-small", Order::Key)?;
    let small = scenario.directory().join("small");
    namespace::mount_small(&small, SIZE)?;
    let flags = scenario.flags().with("admin", "127.0.0.1:0");
    let load = scenario.load(150, Mix::default());
    let mut member = Member::start(&flags.clone().log("debug"), small.join("log"))?;
    scenario.until_works(&mut member, SOON)?;
    scenario.watch(&mut member)?;
    scenario.until_more(300, SOON)?;

    let filler = small.join("filler");
    let mut file = OpenOptions::new().create_new(true).append(true).open(&filler)?;
    // To its last byte: what is left of a page is found by smaller pieces.
    for size in [1 << 16, 1 << 9, 1] {
        let full = loop {
            if let Err(error) = file.write_all(&vec![b'x'; size]) {
                break error;
            }
        };
        ensure!(full.kind() == ErrorKind::StorageFull, "the disk is not full, but {full}");
    }
    scenario.until_more(500, SOON)?;
    let logged = member.log()?.len();
    scenario.until_more(500, SOON)?;
    ensure!(member.log()?.len() == logged, "there was room for the log");

    namespace::make_read_only(&[&env::temp_dir()])?;
    let refused = File::create(env::current_exe()?.with_extension("written")).map(drop).map_err(|error| error.kind());
    ensure!(refused == Err(ErrorKind::ReadOnlyFilesystem), "a file can be made: {refused:?}");
    scenario.until_more(500, SOON)?;
    // One that has never seen it otherwise.
    let mut second = scenario.start(&flags)?;
    scenario.until_works(&mut second, SOON)?;
    scenario.watch(&mut second)?;
    scenario.until_more(500, SOON)?;

    fs::remove_file(&filler)?;
    drop(file);
    until_true(SOON, "a log that goes on once there is room", || Ok(member.log()?.len() > logged))?;
    scenario.until_more(100, SOON)?;
    scenario.unload(load)?;
    let verdict = scenario.finish(vec![member, second], SOON)?;
    verdict.ensure_clean()?;
    assert!(verdict.letters > 0 && verdict.duplicates == 0, "{verdict}");
    let unmounted = std::process::Command::new("umount").arg(&small).status()?;
    ensure!(unmounted.success(), "the small disk can't be taken away: {unmounted}");
    scenario.close()
}
