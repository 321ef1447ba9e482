//! Callgrind: runs one benchmark in processes of its own, and counts what its measured round takes.
//!
//! One process runs that round, another one does all the same but that: the difference is the round. Counted are the instructions of the
//! program itself, and its calls for memory. What the C library executes is left out: its allocator and its copying differ between its
//! versions, and the latter between processors.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

/// What the C library hands out memory with.
const ALLOCATORS: [&str; 6] = ["malloc", "calloc", "realloc", "aligned_alloc", "posix_memalign", "memalign"];

/// What a round of a benchmark took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Instructions of the program itself.
    pub(crate) instructions: u64,
    /// How often it asked for memory, or for more.
    pub(crate) allocations: u64,
}

impl Counts {
    /// What is left of these beside others; `None` where that can't be.
    fn less(self, others: Self) -> Option<Self> {
        let instructions = self.instructions.checked_sub(others.instructions).filter(|left| *left > 0)?;
        Some(Self { instructions, allocations: self.allocations.checked_sub(others.allocations)? })
    }
}

/// How a process treats the round that is to be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    Run,
    Leave,
}

impl Last {
    /// Both are of one length, so that they take the program as long to read.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Run => "run--",
            Self::Leave => "leave",
        }
    }
}

/// Counts what the measured round of this program's benchmark of this name takes.
pub(crate) fn count(name: &str) -> anyhow::Result<Counts> {
    let (with, without) = (profile(name, Last::Run)?, profile(name, Last::Leave)?);
    let round = with.less(without);
    round.with_context(|| format!("benchmark `{name}`: its round took no instructions, so it was not measured"))
}

/// Runs a benchmark under callgrind.
fn profile(name: &str, last: Last) -> anyhow::Result<Counts> {
    let program = env::current_exe().context("find this program")?;
    let out = Output::new(name);
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--command-line-only=yes"])
        // Whole names and numbers in every line.
        .args(["--compress-strings=no", "--compress-pos=no", "--dump-line=no"])
        .arg(format!("--callgrind-out-file={}", out.0.display()))
        .arg(&program)
        .args([last.name(), name])
        .stdin(Stdio::null())
        .output()
        .context("start valgrind (`bash scripts/tools.sh micro` installs it)")?;
    ensure!(ran.status.success(), "benchmark `{name}` failed:\n{}", String::from_utf8_lossy(&ran.stderr));
    let profile = fs::read_to_string(&out.0).with_context(|| format!("read {}", out.0.display()))?;
    read(&profile, &program).with_context(|| format!("benchmark `{name}`"))
}

/// The profile's file, for as long as it is needed.
struct Output(PathBuf);

impl Output {
    fn new(name: &str) -> Self {
        let name = name.replace('/', "-");
        Self(env::temp_dir().join(format!("daemonry-micro-{}-{name}.callgrind", std::process::id())))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // There is none where callgrind did not come that far.
        fs::remove_file(&self.0).ok();
    }
}

/// Adds up a profile in callgrind's format. Lines with costs belong to the object and function named last. One behind a line `calls=` is
/// what the called function took, which is told by itself elsewhere.
fn read(profile: &str, program: &Path) -> anyhow::Result<Counts> {
    let program = program.to_str().context("this program's path is not UTF-8")?;
    let mut counts = Counts { instructions: 0, allocations: 0 };
    let (mut in_program, mut called, mut of_a_call) = (false, "", false);
    ensure!(profile.lines().any(|line| line == "events: Ir"), "callgrind's profile has other events than instructions");
    for line in profile.lines() {
        if let Some(object) = line.strip_prefix("ob=") {
            in_program = object == program;
        } else if let Some(function) = line.strip_prefix("cfn=") {
            called = function;
        } else if let Some(call) = line.strip_prefix("calls=") {
            of_a_call = true;
            if in_program && ALLOCATORS.contains(&called) {
                counts.allocations += number(call.split(' ').next())?;
            }
        } else if line.starts_with(|first: char| first.is_ascii_digit()) {
            let is_own = !std::mem::take(&mut of_a_call);
            if is_own && in_program {
                counts.instructions += number(line.split(' ').nth(1))?;
            }
        }
    }
    Ok(counts)
}

fn number(text: Option<&str>) -> anyhow::Result<u64> {
    let text = text.context("a line of callgrind's profile has too few fields")?;
    text.parse().with_context(|| format!("callgrind's profile has `{text}` in the place of a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = "\
# callgrind format
version: 1
creator: callgrind-3.19.0
desc: Timerange: Basic block 0 - 560578
positions: line
events: Ir
summary: 9999

ob=/target/micro
fl=???
fn=daemonry::pipeline::lanes::push
0 100
cob=/lib/libc.so.6
cfi=???
cfn=malloc
calls=3 0
0 60
0 20
cfn=daemonry::pipeline::lanes::lane
calls=7 0
0 7000

fn=daemonry::pipeline::lanes::lane
0 5
cob=/lib/libc.so.6
cfi=./malloc/malloc.c
cfn=realloc
calls=2 3394
0 900
fi=./malloc/malloc.c
0 1

ob=/lib/libc.so.6
fl=./malloc/malloc.c
fn=realloc
3394 400
cfn=malloc
calls=2 3281
3395 500
";

    #[test]
    fn programs_own_instructions_and_its_calls_for_memory_are_counted() {
        let counts = read(PROFILE, Path::new("/target/micro")).unwrap();
        assert_eq!(counts, Counts { instructions: 126, allocations: 5 });
    }

    #[test]
    fn profile_that_is_not_understood_is_an_error() {
        let program = Path::new("/target/micro");
        assert!(read(&PROFILE.replace("events: Ir", "events: Ir Dr"), program).is_err());
        let error = read(&PROFILE.replace("0 100\n", "0 1OO\n"), program).unwrap_err();
        assert!(error.to_string().contains("has `1OO` in the place of a number"), "{error}");
        assert!(read(&PROFILE.replace("0 100\n", "0\n"), program).is_err());
    }

    #[test]
    fn round_that_took_nothing_was_not_measured() {
        let counts = |instructions, allocations| Counts { instructions, allocations };
        assert_eq!(counts(10, 3).less(counts(4, 3)), Some(counts(6, 0)));
        assert_eq!(counts(10, 3).less(counts(10, 3)), None);
        assert_eq!(counts(10, 3).less(counts(4, 4)), None);
    }
}
