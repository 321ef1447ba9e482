//! Puts what `make faults` left of figures into a page of the book: `fault-figures FILE PAGE`.

use std::path::Path;
use std::{env, fs};

use anyhow::{Context as _, Result, bail};
use integration::figures;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [file, page] = arguments.as_slice() else { bail!("say which file has the figures, and which page gets them") };
    let figures = figures::read(Path::new(file))?;
    let text = fs::read_to_string(page).with_context(|| format!("cannot read {page}"))?;
    Ok(fs::write(page, figures::put_into(&text, &figures)?)?)
}
