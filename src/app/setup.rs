//! What a program's own code gets to start with.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::config::{Config, Document, Faults, KeyPath};
use crate::pipeline::control::Control;

/// The configuration, for the code that makes the program's state or a daemon of its own. Cheap to clone.
///
/// ```
/// use daemonry::app::{App, Setup};
/// use daemonry::config::{Period, Secret};
///
/// /// The section `app` of the file.
/// #[derive(serde::Deserialize)]
/// struct Shop { currency: String, patience: Period, api_key: Secret }
///
/// #[derive(Clone)]
/// struct AppState { currency: String }
///
/// async fn connect(setup: Setup) -> anyhow::Result<AppState> {
///     let shop: Shop = setup.app()?;
///     Ok(AppState { currency: shop.currency })
/// }
///
/// let app = App::new("shop").section::<Shop>().state(connect);
/// # drop(app);
/// ```
#[derive(Clone)]
pub struct Setup {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    own: Document,
    section: Option<TypeId>,
    /// What steers each consumer, by its name. Made here, so that it outlives the daemon's restarts.
    controls: BTreeMap<String, Control>,
}

/// Why the program's own section can't be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SectionError {
    /// It was never checked as this type.
    #[error("the `app` section was not announced as this type: add `.section::<{0}>()` to the `App`")]
    NotAnnounced(&'static str),
    /// What is wrong with it. Found by the check already, unless the type reads differently each time.
    #[error(transparent)]
    Wrong(#[from] Faults),
}

impl Setup {
    pub(super) fn new(config: Config, own: Document, section: Option<TypeId>) -> Self {
        let controls = config.consumers.iter();
        let controls = controls.map(|(name, settings)| (name.clone(), Control::of(settings.steered.clone()))).collect();
        Self { inner: Arc::new(Inner { config, own, section, controls }) }
    }

    /// What steers a consumer of the program while it runs: pauses it, slows it down, has a partition go on elsewhere. `None` where there is no
    /// consumer of this name, or the configuration leaves it out.
    ///
    /// ```
    /// use daemonry::app::Setup;
    /// use daemonry::pipeline::control::{Control, Scope};
    ///
    /// #[derive(Clone)]
    /// struct AppState { orders: Option<Control> }
    ///
    /// async fn connect(setup: Setup) -> anyhow::Result<AppState> {
    ///     Ok(AppState { orders: setup.control("orders") })
    /// }
    ///
    /// fn at_night(app: &AppState) {
    ///     if let Some(orders) = &app.orders { orders.pause(Scope::Topic("orders.reports".into())); }
    /// }
    /// ```
    pub fn control(&self, consumer: &str) -> Option<Control> {
        self.inner.controls.get(consumer).cloned()
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// The file's section `app`, as the type that the program has announced for it with [`App::section`](super::App::section).
    ///
    /// # Errors
    /// [`SectionError::NotAnnounced`] for another type.
    pub fn app<T: DeserializeOwned + 'static>(&self) -> Result<T, SectionError> {
        if self.inner.section != Some(TypeId::of::<T>()) {
            return Err(SectionError::NotAnnounced(std::any::type_name::<T>()));
        }
        let mut own = self.inner.own.clone();
        let read = own.read(&KeyPath::of(["app"]));
        match read.filter(|_| own.faults().is_empty()) {
            Some(section) => Ok(section),
            None => Err(Faults::new(own.into_faults()).into()),
        }
    }
}

impl fmt::Debug for Setup {
    /// The configuration alone: the program's own section may have secrets in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Program, Sources, Variables, load};

    #[test]
    fn setup_does_not_show_the_own_section() {
        let read = |document: &mut Document| drop(document.read::<serde_json::Value>(&KeyPath::of(["app"])));
        let program = Program { name: "shop", daemons: Vec::new(), app: Some(read) };
        let text = "daemons: {}\napp: {currency: hush}";
        let sources = Sources { file: "shop.yaml", text, variables: &Variables::default(), flags: &[] };
        let loaded = load(sources, &program).unwrap_or_else(|faults| panic!("{faults}"));
        let setup = Setup::new(loaded.config, loaded.own, Some(TypeId::of::<serde_json::Value>()));
        assert!(!format!("{setup:?}").contains("hush"), "{setup:?}");
        assert_eq!(setup.app::<serde_json::Value>().expect("it is announced")["currency"], "hush");
    }
}
