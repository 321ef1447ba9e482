//! Headers: all of them, or one by its name.

use super::super::{Delivery, Rejection};
use super::FromRecord;

/// All headers in the order they were written, duplicates included. Neither names nor values need be UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers(pub Vec<(Vec<u8>, Option<Vec<u8>>)>);

impl Headers {
    /// The value of the last header of this name, as Kafka's own clients read it; `None` also where it has none.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let last = self.0.iter().rev().find(|(found, _)| found == name.as_bytes());
        last.and_then(|(_, value)| value.as_deref())
    }
}

impl<S> FromRecord<S> for Headers {
    fn from_record(delivery: &Delivery, _state: &S) -> Result<Self, Rejection> {
        let headers = delivery.record().headers();
        Ok(Self(headers.map(|header| (header.name.to_vec(), header.value.map(<[u8]>::to_vec))).collect()))
    }
}

/// One header of a record, as a type of its own.
pub trait NamedHeader: Sized {
    /// The header's name.
    const NAME: &'static str;

    /// Reads its value; of several of the name the last one counts.
    ///
    /// # Errors
    /// Why it can't be read: the record is poison.
    fn parse(value: &[u8]) -> Result<Self, Rejection>;
}

/// The header that `T` names. Without it, or where it can't be parsed, the record is poison; `Option<Header<T>>` is none without it.
///
/// ```
/// use daemonry::handler::{Rejection, Route, on, extract::{Header, NamedHeader}};
///
/// struct Tenant(u32);
///
/// impl NamedHeader for Tenant {
///     const NAME: &'static str = "tenant";
///     fn parse(value: &[u8]) -> Result<Self, Rejection> {
///         let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
///         number.map(Self).ok_or_else(|| Rejection::new("not a number"))
///     }
/// }
///
/// async fn bill(Header(tenant): Header<Tenant>) { println!("{}", tenant.0); }
/// let route: Route = on(bill);
/// # drop(route);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<T>(pub T);

impl<S, T: NamedHeader> FromRecord<S> for Option<Header<T>> {
    fn from_record(delivery: &Delivery, _state: &S) -> Result<Self, Rejection> {
        let Some(value) = delivery.record().header(T::NAME) else { return Ok(None) };
        let parsed = T::parse(value);
        parsed.map(|value| Some(Header(value))).map_err(|why| Rejection::new(format!("header `{}`: {why}", T::NAME)))
    }
}

impl<S, T: NamedHeader> FromRecord<S> for Header<T> {
    fn from_record(delivery: &Delivery, state: &S) -> Result<Self, Rejection> {
        Option::<Self>::from_record(delivery, state)?
            .ok_or_else(|| Rejection::new(format!("header `{}` is missing", T::NAME)))
    }
}
