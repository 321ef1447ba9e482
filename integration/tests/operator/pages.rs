//! The pages in a real browser: each of them, all that can be done there, and what others have written.

use anyhow::{Context as _, Result, ensure};
use integration::Message;
use integration::patience::until;
use serde_json::{Value, json};

use crate::browser::{Browser, NARROW, WIDE};
use crate::scene::PATIENCE;
use crate::shop::{DAEMON, Shop};

/// Where it is told what was done.
const DONE: &str = "p.notice.done";

/// The parts of a page that do something, as text that shows what is missing.
fn form(action: &str) -> String {
    format!("form[action$=\"{action}\"]")
}

#[test]
fn every_page_is_there_fits_its_window_and_goes_on_by_itself() -> Result<()> {
    let shop = Shop::open("pages")?;
    shop.write(&[shop.order(1, 990), shop.order(2, 0)])?;
    let browser = shop.browser()?;
    browser.sees_at(&shop.letters(), "Re-drive or discard what is meant")?;
    browser.sees_at("/errors", "order # costs nothing")?;
    browser.goto("/")?;
    let pages: Vec<String> = browser.texts("header nav a")?;
    ensure!(
        pages
            == [
                "Overview",
                "Fleet",
                "Workers",
                "Errors",
                "Dead letters",
                "Overrides",
                "Commands",
                "Topics",
                "Configuration",
                "Audit",
                "Doctor"
            ],
        "{pages:?}"
    );
    let mut paths: Vec<String> = vec![DAEMON.to_owned(), shop.letters()];
    for link in browser
        .run("return [...document.querySelectorAll('header nav a')].map(a => a.getAttribute('href'))")?
        .as_array()
        .context("links")?
    {
        paths.push(link.as_str().context("a path")?.to_owned());
    }
    browser.goto(&shop.letters())?;
    paths.push(link(&browser, "tbody tr td:nth-child(2) a")?);
    browser.goto("/fleet")?;
    paths.push(link(&browser, "tbody a[href^=\"/fleet/\"]")?);
    // What was in vain while it began doesn't count.
    browser.complaints()?;
    for path in &paths {
        for window in [WIDE, NARROW] {
            browser.resize(window)?;
            browser.goto(path)?;
            ensure!(!browser.text("h1")?.is_empty(), "{path} has no title");
            let over =
                browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")?;
            ensure!(over == 0, "{path} is {over} px too wide for a window of {window:?}");
            // Whoever goes from element to element with the keyboard can tell each by its name.
            let nameless = browser.run(
                "return [...document.querySelectorAll('input:not([type=hidden]), select, textarea, button, a')]\
                 .filter(e => !(e.labels?.length || e.ariaLabel || e.textContent.trim())).map(e => e.outerHTML)",
            )?;
            ensure!(nameless == json!([]), "{path}: {nameless}");
        }
        let complaints = browser.complaints()?;
        ensure!(complaints.is_empty(), "{path}: {complaints:?}");
    }

    // A key goes to a page; and a page goes on without being asked for again.
    browser.resize(WIDE)?;
    browser.goto("/")?;
    browser.press("w")?;
    until(PATIENCE, "the workers' page", || Ok((browser.at()? == "/workers").then_some(())))?;
    browser.press("o")?;
    until(PATIENCE, "the overview", || Ok((browser.at()? == "/").then_some(())))?;
    // Keys are told, and can be turned off.
    browser.press("?")?;
    browser.sees("goes to the first field")?;
    browser.click("#keys-wanted")?;
    browser.click("#keys form button")?;
    browser.press("w")?;
    ensure!(browser.at()? == "/", "a key did something: {}", browser.at()?);
    browser.goto("/")?;
    browser.click("#keys-open")?;
    ensure!(browser.run("return document.getElementById('keys-wanted').checked")? == false, "it is forgotten");
    browser.click("#keys-wanted")?;
    browser.click("#keys form button")?;
    browser.run("window.untouched = true")?;
    let letters = |browser: &Browser| browser.text(".tile:nth-child(6) b");
    let before = letters(&browser)?;
    shop.write(&[shop.order(3, 0)])?;
    until(PATIENCE, "one more letter is shown", || Ok((letters(&browser)? != before).then_some(())))?;
    ensure!(browser.run("return window.untouched")? == true, "the page was loaded anew");
    // Whoever is at a link keeps it, and nothing moves below their eyes once they say so; what came in meanwhile is shown then.
    browser.press("j")?;
    let is_at_link = "return document.activeElement.matches('tbody a')";
    ensure!(browser.run(is_at_link)? == true, "`j` leads to no link");
    // It is seen where the keyboard is.
    let seen =
        "const style = getComputedStyle(document.activeElement); return style.outlineStyle + ' ' + style.outlineWidth";
    ensure!(browser.run(seen)? == "solid 2px", "{}", browser.run(seen)?);
    browser.sees("Held while you are in it")?;
    browser.run("document.activeElement.blur()")?;
    browser.sees("Stop updating")?;
    browser.press("p")?;
    browser.sees("Update again")?;
    let before = letters(&browser)?;
    shop.write(&[shop.order(4, 0)])?;
    let waiting = shop.browser()?;
    waiting.goto("/")?;
    until(PATIENCE, "one more letter", || Ok((letters(&waiting)? != before).then_some(())))?;
    ensure!(letters(&browser)? == before, "it was updated");
    browser.press("p")?;
    until(PATIENCE, "what came in meanwhile", || Ok((letters(&browser)? != before).then_some(())))?;
    ensure!(browser.run("return document.getElementById('lost').hidden")? == true);
    let mut shop = shop;
    shop.process.member.kill()?;
    browser.sees("Nothing was heard of this process for five seconds")
}

/// Where the first of these links leads.
fn link(browser: &Browser, css: &str) -> Result<String> {
    let link = browser.run(&format!("return document.querySelector({css:?})?.getAttribute('href')"))?;
    Ok(link.as_str().with_context(|| format!("no `{css}` at {}", browser.at().unwrap_or_default()))?.to_owned())
}

#[test]
fn a_daemon_is_steered_by_its_forms_and_what_was_done_is_taken_back() -> Result<()> {
    let shop = Shop::open("steered-pages")?;
    shop.write(&[shop.order(1, 990)])?;
    let browser = shop.browser()?;
    let steer = |action: &str, fields: &[(&str, &str)], button: &str| -> Result<String> {
        browser.goto(DAEMON)?;
        browser.click("main details summary")?;
        browser.submit(&form(action), fields, button)?;
        browser.text(DONE).with_context(|| browser.seen())
    };
    browser.sees_at(DAEMON, "Partitions (4)")?;
    let is_told = |told: String, expected: &str| -> Result<()> {
        ensure!(told.contains(expected), "`{expected}` is not in `{told}`");
        Ok(())
    };

    let topic = [("topic", "orders.created"), ("partition", "1"), ("reason", "to see it"), ("lasts", "7200000")];
    is_told(steer("/pause", &topic, "button:nth-of-type(1)")?, "orders.created[1]")?;
    browser.sees("paused")?;
    let key = [("key", "customer-7"), ("topic", "orders.created"), ("reason", "her address"), ("lasts", "86400000")];
    is_told(steer("/pause", &key, "button:nth-of-type(1)")?, "customer-7")?;
    is_told(steer("/pause", &topic[..3], "button:nth-of-type(2)")?, "orders.created[1]")?;
    is_told(steer("/limits", &[("rate", "50"), ("key_rate", "5"), ("reason", "slowly")], "button")?, "50")?;
    is_told(steer("/workers", &[("workers", "3"), ("reason", "fewer")], "button")?, "scaled to 3")?;
    until(PATIENCE, "three workers", || Ok((shop.process.daemon()?["consumer"]["now"]["workers"] == 3).then_some(())))?;

    // What can't be undone is only done once that is typed, and somebody says why.
    let skip = [("topic", "orders.created"), ("partition", "1"), ("offset", "1000000"), ("reason", "it kills us")];
    for typed in ["", "yes"] {
        browser.goto(DAEMON)?;
        browser.click("main details summary")?;
        let kept =
            browser.is_kept_from_sending(&form("/skip"), &[&skip[..], &[("confirm", typed)]].concat(), "button")?;
        ensure!(kept && browser.at()? == DAEMON, "`{typed}` was enough: {}", browser.at()?);
    }
    is_told(steer("/skip", &[&skip[..], &[("confirm", "skip")]].concat(), "button")?, "orders.created[1]")?;

    // A partition's row has the forms be about it; what a seek means is told first, and its count is typed.
    browser.goto(DAEMON)?;
    browser.click("a[href=\"?at=orders.created/1\"]")?;
    browser.leaves(DAEMON)?;
    let seek = [("to", "beginning"), ("reason", "again")];
    browser.submit(&form("/seek"), &seek, "button")?;
    browser.sees("at most are handled again")?;
    let asked = browser.run("return document.querySelector('main [name=asked]').value")?;
    let asked = asked.as_str().context("a count")?;
    ensure!(asked.parse::<u64>()? > 0, "{asked}: {}", browser.seen());
    for typed in ["", "seek"] {
        let kept = browser.is_kept_from_sending(&form("/seek"), &[("confirm", typed)], "button")?;
        ensure!(kept && browser.at()? == format!("{DAEMON}/seek"), "`{typed}` was enough: {}", browser.at()?);
    }
    browser.submit(&form("/seek"), &[("confirm", asked)], "button")?;
    is_told(browser.text(DONE).with_context(|| browser.seen())?, "orders.created[1] goes on at 0")?;
    // What can't be done is told, and leads back.
    browser.goto(DAEMON)?;
    browser.click("main details summary")?;
    browser.submit(&form("/workers"), &[("workers", "100000"), ("reason", "more")], "button")?;
    browser.sees("Not done")?;
    browser.sees("workers at most")?;
    browser.click("main p:not([hidden]) a")?;
    ensure!(browser.at()? == DAEMON, "{}", browser.at()?);

    // All of it stands there, and is taken back.
    browser.goto("/overrides")?;
    let standing = browser.texts("tbody tr")?;
    for expected in ["customer-7", "50", "3", "1000000"] {
        ensure!(standing.iter().any(|row| row.contains(expected)), "{expected}: {standing:?}");
    }
    ensure!(standing.iter().all(|row| row.contains("local")), "{standing:?}");
    let config = browser.run("return document.querySelector('main details pre').textContent")?;
    ensure!(config.as_str().is_some_and(|text| text.contains("workers: 3") && text.contains("rate: 50/s")), "{config}");
    for left in (0..standing.len()).rev() {
        // What the one before was told with is gone.
        browser.goto("/overrides")?;
        browser.submit("tbody tr form", &[("reason", "seen")], "button")?;
        ensure!(browser.text(DONE)?.contains("lifted"), "{}", browser.seen());
        ensure!(browser.texts("tbody tr")?.len() == left, "{}", browser.seen());
    }
    browser.sees("Nothing is changed.")?;
    browser.goto("/audit")?;
    let audit = browser.texts("tbody tr")?;
    for expected in ["/daemons/orders/seek", "/daemons/orders/skip", "/lift", "her address", "slowly"] {
        ensure!(audit.iter().any(|row| row.contains(expected)), "{expected}: {audit:?}");
    }

    browser.goto("/config")?;
    ensure!(browser.text("pre.value")?.contains("orders:"), "{}", browser.seen());
    browser.goto("/doctor")?;
    browser.sees("Nobody has asked yet")?;
    browser.send("main form button")?;
    browser.sees("as they should be")?;
    ensure!(browser.texts("tbody tr")?.iter().any(|row| row.contains("brokers")), "{}", browser.seen());
    drop(browser);
    shop.stop()
}

#[test]
fn letters_are_edited_discarded_and_redriven_once_their_count_is_typed() -> Result<()> {
    let shop = Shop::open("letters-pages")?;
    shop.write(&[shop.order(1, 0), shop.order(2, 0), shop.order(3, 0), shop.order(4, 0)])?;
    let browser = shop.browser()?;
    let rows = |browser: &Browser| browser.texts("main .scroll tbody tr");
    until(PATIENCE, "four letters", || {
        browser.goto(&shop.letters())?;
        Ok((rows(&browser)?.len() == 4).then_some(()))
    })?;
    browser.goto(&format!("{}&error=order+2+costs", shop.letters()))?;
    ensure!(rows(&browser)?.len() == 1, "{}", browser.seen());
    browser.click("tbody tr td:nth-child(2) a")?;
    ensure!(browser.text("pre.value")?.contains("\"cents\": 0"), "{}", browser.seen());

    // One is changed, and goes where it came from.
    browser.click("main details summary")?;
    let paid = json!({"id": 2, "customer": shop.customer, "card": "visa-4111", "cents": 5}).to_string();
    let edited = [("value", paid.as_str()), ("why", "it has a price"), ("confirm", "redrive")];
    let letter = browser.at()?;
    let kept = browser.is_kept_from_sending(&form("/edit"), &edited[..2], "button")?;
    ensure!(kept && browser.at()? == letter, "it was not confirmed: {}", browser.at()?);
    browser.submit(&form("/edit"), &edited, "button")?;
    browser.sees("with another value")?;
    let shipped = |id: u32| -> Result<bool> {
        let shipments = shop.scene.topics.read("shipments.requested")?;
        let key = Some(shop.customer.as_bytes().to_vec());
        Ok(shipments.iter().filter(|one| one.message.key == key).any(|one| {
            let value = one.message.value.as_deref().and_then(|value| serde_json::from_slice::<Value>(value).ok());
            value.is_some_and(|value| value["order"] == id)
        }))
    };
    until(PATIENCE, "the changed order is shipped", || Ok(shipped(2)?.then_some(())))?;

    // One is given up, the others are read again: each is counted, and that count is to be typed.
    browser.goto(&format!("{}&error=order+3+costs", shop.letters()))?;
    browser.click("tbody tr td:nth-child(2) a")?;
    browser.submit(&form("/discard"), &[("why", "a test order")], "button")?;
    confirm(&browser, "would be discarded", 1)?;
    browser.sees("discarded")?;
    browser.goto(&shop.letters())?;
    ensure!(rows(&browser)?.len() == 2, "{}", browser.seen());
    browser.click("main > details summary")?;
    browser.submit(&form("/redrive"), &[("why", "prices are there now")], "button")?;
    confirm(&browser, "would be re-driven", 2)?;
    // They cost nothing still: so they come back, as letters that were re-driven once.
    until(PATIENCE, "both are back", || {
        browser.goto(&shop.letters())?;
        let rows = rows(&browser)?;
        Ok((rows.len() == 2).then_some(()))
    })?;
    browser.goto(&format!("{}&with_redriven=true&with_discarded=true", shop.letters()))?;
    let marks = browser.texts("main .scroll tbody tr td:last-child")?;
    ensure!(marks.iter().filter(|mark| mark.contains("re-driven")).count() == 3, "{marks:?}");
    ensure!(marks.iter().filter(|mark| mark.contains("discarded")).count() == 1, "{marks:?}");
    browser.goto("/letters")?;
    let jobs = browser.texts("main .scroll:last-of-type tbody tr")?;
    ensure!(jobs.iter().filter(|job| job.contains("done")).count() == 4, "{jobs:?}");

    // One that is slow is stopped, and gone on with.
    browser.goto(&shop.letters())?;
    browser.click("main > details summary")?;
    browser.submit(&form("/redrive"), &[("per_second", "0.01"), ("why", "slowly")], "button")?;
    browser.sees("would be re-driven")?;
    let counted = browser.at()?;
    browser.submit(&form("/execute"), &[("confirm", "2")], "button")?;
    browser.leaves(&counted)?;
    let redriven = |browser: &Browser| browser.text("main tbody tr:first-child td:last-child");
    until(PATIENCE, "the first letter", || Ok((redriven(&browser)? == "1").then_some(())))?;
    browser.submit(&form("/stop"), &[("why", "too slow")], "button")?;
    let stopped = browser.at()?;
    browser.sees("Go on with it")?;
    browser.submit(&form("/resume"), &[("why", "the other one too")], "button")?;
    browser.leaves(&stopped)?;
    until(PATIENCE, "the second letter", || Ok(browser.text("main .state")?.eq("done").then_some(())))?;
    ensure!(redriven(&browser)? == "1", "{}", browser.seen());
    drop(browser);
    shop.stop()
}

/// A job has counted so many; they are meant.
fn confirm(browser: &Browser, said: &str, count: usize) -> Result<()> {
    browser.sees(said)?;
    browser.sees("Type how many")?;
    let job = browser.at()?;
    let kept = browser.is_kept_from_sending(&form("/execute"), &[("confirm", &(count + 1).to_string())], "button")?;
    ensure!(kept && browser.at()? == job, "another count was enough: {}", browser.at()?);
    browser.submit(&form("/execute"), &[("confirm", &count.to_string())], "button")?;
    browser.leaves(&job)?;
    until(PATIENCE, "the job is done", || Ok(browser.text("main .state")?.eq("done").then_some(())))
}

#[test]
fn what_others_have_written_is_inert() -> Result<()> {
    let shop = Shop::open("hostile-pages")?;
    let hostile =
        "\"><script>window.harmed = 1</script><img src=x onerror='window.harmed = 1'><a href=javascript:harmed>";
    let key = format!("{}{hostile}", shop.customer);
    let order = json!({"id": 1, "customer": hostile, "card": hostile, "cents": 0}).to_string();
    shop.write(&[
        Message::new(order).key(key.as_str()).header(hostile, hostile),
        Message::new(format!("{{{hostile}")).key(key.as_str()),
        Message::new(b"\xff\xfe\x00<svg onload=harmed>".to_vec()).key(key.as_str()),
    ])?;
    let browser = shop.browser()?;
    let letters = format!("{}?error=&origin=orders.created", shop.all_letters());
    until(PATIENCE, "their letters", || {
        browser.goto(&letters)?;
        Ok((browser.seen().matches(&format!("{}\"", shop.customer)).count() >= 2).then_some(()))
    })?;
    let shown = browser.run(
        "return [...document.querySelectorAll('tbody tr')].filter(row => row.textContent.includes('script'))\
         .map(row => row.querySelector('td:nth-child(2) a').getAttribute('href'))",
    )?;
    let mut pages: Vec<String> =
        shown.as_array().context("links")?.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    ensure!(pages.len() >= 2, "{shown}");
    pages.extend([letters, "/errors".to_owned(), DAEMON.to_owned(), "/letters".to_owned()]);
    let query = "%22%3E%3Cscript%3Ewindow.harmed=1%3C/script%3E";
    pages.extend([
        format!("/errors?text={query}"),
        format!("{DAEMON}?done={query}"),
        format!("{}?key={query}", shop.all_letters()),
    ]);
    pages.extend([format!("/daemons/{query}"), format!("/fleet/{query}"), format!("/jobs/{query}")]);
    for page in &pages {
        browser.goto(page)?;
        ensure!(browser.run("return window.harmed ?? null")?.is_null(), "{page} ran what somebody wrote");
        let made = browser.run("return document.querySelectorAll('main script, main img, main svg:not(.spark), main a[href^=javascript]').length")?;
        ensure!(made == 0, "{page} has {made} elements that somebody wrote");
        let complaints: Vec<String> =
            browser.complaints()?.into_iter().filter(|line| !line.contains("status of 40")).collect();
        ensure!(complaints.is_empty(), "{page}: {complaints:?}");
    }
    drop(browser);
    shop.stop()
}

#[test]
fn who_signs_in_sees_what_they_may() -> Result<()> {
    let holders = [("vera", "viewer"), ("olga", "operator"), ("ada", "admin")];
    let tokens =
        holders.map(|(name, role)| format!("{name}: {{role: {role}, token: {name}-{name}-{name}-{name}-{name}}}"));
    let api = format!("api:\n  masked_fields: [card]\n  tokens: {{{}}}\n", tokens.join(", "));
    let shop = Shop::configured("signed-pages", |text| text.replace("\napi:\n", &format!("\n{api}")))?;
    shop.write(&[shop.order(1, 0)])?;
    let browser = shop.browser()?;
    browser.goto(DAEMON)?;
    browser.sees("Token, as configured")?;
    browser.submit("form", &[("token", "nobody-nobody-nobody")], "button")?;
    browser.sees("Nobody has this token.")?;

    let sign_in = |name: &str| -> Result<()> {
        browser.goto("/")?;
        browser.submit("form", &[("token", &format!("{name}-{name}-{name}-{name}-{name}"))], "button")?;
        browser.sees(&format!("{name} ("))
    };
    let sign_out = || -> Result<()> {
        browser.send("header form button")?;
        browser.sees("Token, as configured")
    };
    sign_in("olga")?;
    browser.sees_at(&shop.letters(), "Re-drive or discard what is meant")?;
    let letter = link(&browser, "tbody tr td:nth-child(2) a")?;
    browser.goto(&letter)?;
    let value = browser.text("pre.value")?;
    ensure!(value.contains("\"card\"") && !value.contains("visa"), "{value}");
    browser.sees("Masked, but for admins: value.")?;
    ensure!(!browser.seen().contains("Edit its value"), "{}", browser.seen());
    ensure!(browser.run("return document.cookie")? == "", "a script can read the token");
    sign_out()?;

    sign_in("ada")?;
    browser.goto(&letter)?;
    ensure!(browser.text("pre.value")?.contains("visa-4111"), "{}", browser.seen());
    browser.sees("Edit its value")?;
    sign_out()?;

    sign_in("vera")?;
    let pages = browser.texts("header nav a")?;
    ensure!(pages == ["Overview", "Fleet", "Workers", "Errors", "Dead letters", "Overrides", "Commands"], "{pages:?}");
    browser.goto(&letter)?;
    browser.sees("What stands in records is hidden from viewers.")?;
    ensure!(!browser.seen().contains(&shop.customer), "{}", browser.seen());
    browser.goto(DAEMON)?;
    ensure!(browser.texts("main form")?.is_empty(), "{}", browser.seen());
    for page in ["/config", "/audit", "/doctor"] {
        browser.goto(page)?;
        ensure!(browser.seen().contains("operator"), "{page}: {}", browser.seen());
        ensure!(browser.texts("main table, main pre.value, main form")?.is_empty(), "{page}: {}", browser.seen());
    }
    // As long as it is remembered, and no longer.
    browser.goto("/")?;
    sign_out()?;
    browser.goto("/")?;
    browser.sees("Token, as configured")?;
    drop(browser);
    shop.stop()
}

#[test]
fn a_live_page_whose_reader_is_no_longer_signed_in_says_so_and_asks_no_more() -> Result<()> {
    let tokens = "tokens: {vera: {role: viewer, token: vera-vera-vera-vera-vera}}";
    let shop = Shop::configured("left-pages", |text| text.replace("\napi:\n", &format!("\napi:\n  {tokens}\n")))?;
    let browser = shop.browser()?;
    browser.goto("/workers")?;
    browser.submit("form", &[("token", "vera-vera-vera-vera-vera")], "button")?;
    browser.goto("/workers")?;
    browser.sees("workers are at something")?;
    let is_hidden = |id: &str| browser.run(&format!("return document.getElementById('{id}').hidden"));
    ensure!(is_hidden("signed-out")? == true, "{}", browser.seen());
    // In another window of theirs.
    browser.run("return fetch('/logout', {method: 'POST'}).then(answer => answer.status)")?;
    // Its stream lasts for eight seconds; then it comes back without a token.
    browser.sees("You are no longer signed in, so this is updated no more.")?;
    ensure!(is_hidden("lost")? == true, "it is not the process that is lost: {}", browser.seen());
    let asked = "return performance.getEntriesByType('resource').filter(one => one.name.includes('/live/')).length";
    let times = browser.run(asked)?;
    until(PATIENCE, "more than it waits before it asks again", || {
        let since = browser.run("return performance.now() - (window.noted ??= performance.now())")?;
        Ok((since.as_f64().unwrap_or(0.0) > 7_000.0).then_some(()))
    })?;
    ensure!(browser.run(asked)? == times && is_hidden("lost")? == true, "it asks on: {}", browser.seen());
    // The way back.
    browser.click("#signed-out a")?;
    browser.sees("Token, as configured")?;
    drop(browser);
    shop.stop()
}

#[test]
fn pages_can_be_read_and_used_without_scripts() -> Result<()> {
    let shop = Shop::open("plain-pages")?;
    shop.write(&[shop.order(1, 0)])?;
    let browser = Browser::without_scripts(&shop.process.api)?;
    browser.sees_at(&shop.letters(), "Re-drive or discard what is meant")?;
    for (page, text) in [
        ("/", "records handled"),
        ("/workers", "workers are at something"),
        ("/errors", "costs nothing"),
        (DAEMON, "Partitions (4)"),
    ] {
        browser.sees_at(page, text)?;
    }
    browser.click("main details summary")?;
    let fields = [("topic", "orders.created"), ("reason", "to see it")];
    browser.submit(&form("/pause"), &fields, "button:nth-of-type(1)")?;
    ensure!(browser.text(DONE)?.contains("orders.created"), "{}", browser.seen());
    browser.goto("/doctor")?;
    browser.send("main form button")?;
    ensure!(!browser.seen().contains("Nobody has asked yet"), "{}", browser.seen());
    browser.sees_at("/doctor", "as they should be")?;
    drop(browser);
    shop.stop()
}
