//! The API against its own document, by [schemathesis](https://schemathesis.io): whatever is asked, the answer is one that the document has.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use integration::patience::until;

use crate::scene::{PATIENCE, binary};
use crate::shop::Shop;

/// Requests made up for each operation, beside those of its bounds.
const EXAMPLES: usize = 10;

#[test]
fn whatever_is_asked_the_answer_is_in_the_document() -> Result<()> {
    let shop = Shop::alone("openapi")?;
    shop.write(&[shop.order(1, 0), shop.order(2, 0), shop.order(3, 990)])?;
    let letters = format!("{}.dlq", shop.scene.topic);
    until(PATIENCE, "its letters", || {
        Ok((shop.scene.topics.ends(&letters).map_or(0, |ends| ends.values().map(|end| end.0).sum()) >= 2).then_some(()))
    })?;
    let document = format!("{}/api/v1/openapi.json", shop.process.api);
    let directory = tempfile::tempdir()?;
    // Names of what there is: made up, they would hardly ever be met. Those that are not are for the unit tests.
    let config = directory.path().join("schemathesis.toml");
    fs::write(&config, format!("[parameters]\n\"path.daemon\" = \"orders\"\n\"path.topic\" = \"{letters}\"\n"))?;
    let program = binary("daemonry")?.with_file_name("").join("../tools/schemathesis/bin/schemathesis");
    let output = Command::new(&program)
        .arg("--config-file")
        .arg(&config)
        .args(["run", &document, "--no-color", "--generation-deterministic"])
        .args([
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        ])
        .args(["--max-examples", &EXAMPLES.to_string()])
        // Below that which one address may ask.
        .args(["--rate-limit", "45/s"])
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{} can't be run: `scripts/tools.sh schemathesis` installs it", program.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{}: {said}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    let count = |what: &str| -> Result<usize> {
        let line = said.lines().find(|line| line.contains(what)).with_context(|| format!("no `{what}`: {said}"))?;
        let digits: String =
            line.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
        Ok(digits.parse()?)
    };
    let (selected, tested, cases) = (count("Selected:")?, count("Tested:")?, count("generated,")?);
    eprintln!("{tested} operations, {cases} requests");
    ensure!(tested == selected && cases > 20 * tested, "{tested} of {selected} operations, {cases} requests: {said}");
    shop.stop()
}
