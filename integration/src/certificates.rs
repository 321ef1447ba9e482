//! Certificates for a broker of the tests and its clients, made when they are needed: a key that is in a repository is no secret, and a
//! certificate in one expires.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// Without the system's own, which differ: what a certificate may be used for is said in full below.
const CONFIGURATION: &str = "[req]\ndistinguished_name = name\n[name]\n";
/// What an authority wants to know that gives certificates for a time of another's choice.
const OFFICE: &str =
    "[ca]\ndefault_ca = office\n[office]\ndefault_md = sha256\npolicy = any\n[any]\ncommonName = supplied\n";

/// An authority, another one that nobody has heard of, and what they have signed.
#[derive(Debug)]
pub struct Certificates {
    directory: PathBuf,
}

/// A certificate and its key, each a file in PEM.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key, not encrypted.
    pub key: PathBuf,
}

impl Certificates {
    /// Makes both authorities, in this directory.
    ///
    /// # Errors
    /// When there is no `openssl` of version 3.
    pub fn make(directory: &Path) -> Result<Self> {
        fs::write(directory.join("openssl.cnf"), CONFIGURATION)?;
        let this = Self { directory: directory.to_owned() };
        for name in ["authority", "stranger"] {
            this.request(name, &["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"], None)?;
        }
        Ok(this)
    }

    /// The certificate of the authority.
    pub fn authority(&self) -> PathBuf {
        self.file("authority", "crt")
    }

    /// The certificate of an authority that has signed nothing here.
    pub fn stranger(&self) -> PathBuf {
        self.file("stranger", "crt")
    }

    /// A certificate for `name` at these addresses, as in `DNS:localhost,IP:127.0.0.1`, signed by the authority.
    ///
    /// # Errors
    /// When `openssl` fails.
    pub fn issue(&self, name: &str, addresses: &str) -> Result<Certificate> {
        self.issue_by("authority", name, addresses)
    }

    /// The same, signed by the other authority.
    ///
    /// # Errors
    /// When `openssl` fails.
    pub fn issue_by_stranger(&self, name: &str, addresses: &str) -> Result<Certificate> {
        self.issue_by("stranger", name, addresses)
    }

    /// A certificate that was good for a day, years ago.
    ///
    /// # Errors
    /// When `openssl` fails.
    pub fn issue_expired(&self, name: &str, addresses: &str) -> Result<Certificate> {
        let made = Certificate { certificate: self.file(name, "crt"), key: self.file(name, "key") };
        let [office, index, serial, extensions, request] =
            ["office", "index", "serial", "extensions", "csr"].map(|kind| self.file(name, kind));
        fs::write(&index, "")?;
        fs::write(&serial, format!("{:08x}\n", fastrand::u32(..)))?;
        let settings = format!(
            "database = {}\nserial = {}\nnew_certs_dir = {}\n[any]",
            index.display(),
            serial.display(),
            self.directory.display()
        );
        fs::write(&office, OFFICE.replacen("[any]", &settings, 1))?;
        fs::write(&extensions, format!("basicConstraints=critical,CA:FALSE\nsubjectAltName={addresses}\n"))?;
        let mut asks = self.asks(name);
        asks.arg("-new").arg("-keyout").arg(&made.key).arg("-out").arg(&request);
        run(asks, name)?;
        let mut signs = Command::new("openssl");
        signs.args(["ca", "-batch", "-notext"]);
        signs.args(["-startdate", "20200101000000Z", "-enddate", "20200102000000Z"]);
        signs.arg("-config").arg(office).arg("-extfile").arg(extensions).arg("-in").arg(request);
        signs.arg("-cert").arg(self.authority()).arg("-keyfile").arg(self.file("authority", "key"));
        signs.arg("-out").arg(&made.certificate);
        run(signs, name)?;
        Ok(made)
    }

    fn issue_by(&self, authority: &str, name: &str, addresses: &str) -> Result<Certificate> {
        let addresses = format!("subjectAltName={addresses}");
        self.request(name, &["basicConstraints=critical,CA:FALSE", &addresses], Some(authority))
    }

    /// Key and certificate in one file, as a broker takes them.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn key_store(&self, certificate: &Certificate) -> Result<PathBuf> {
        let both = [fs::read(&certificate.key)?, fs::read(&certificate.certificate)?].concat();
        let store = certificate.certificate.with_extension("pem");
        fs::write(&store, both)?;
        Ok(store)
    }

    fn request(&self, name: &str, extensions: &[&str], authority: Option<&str>) -> Result<Certificate> {
        let made = Certificate { certificate: self.file(name, "crt"), key: self.file(name, "key") };
        let mut command = self.asks(name);
        command.args(["-x509", "-days", "2"]);
        command.args(extensions.iter().flat_map(|extension| ["-addext", extension]));
        if let Some(authority) = authority {
            command.args([OsStr::new("-CA"), self.file(authority, "crt").as_os_str()]);
            command.args([OsStr::new("-CAkey"), self.file(authority, "key").as_os_str()]);
        }
        command.arg("-keyout").arg(&made.key).arg("-out").arg(&made.certificate);
        run(command, name)?;
        Ok(made)
    }

    /// Asks for a certificate, with a new key.
    fn asks(&self, name: &str) -> Command {
        let mut command = Command::new("openssl");
        command.args(["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"]);
        command.arg("-config").arg(self.directory.join("openssl.cnf"));
        command.arg("-subj").arg(format!("/CN={name}"));
        command
    }

    fn file(&self, name: &str, extension: &str) -> PathBuf {
        self.directory.join(format!("{name}.{extension}"))
    }
}

fn run(mut command: Command, name: &str) -> Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .context("cannot run openssl: install it, as `make test` does where it can")?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "openssl made no certificate for `{name}`, is it version 3?\n{error}");
    Ok(())
}
