//! What came of one of several calls in one request.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// What came of one of several calls: a list of the one value that it returned, or the members of a fault.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome<T> {
    /// The value that it returned.
    Value(T),
    /// A fault, by its code and text.
    Fault(i64, String),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Outcome<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader(PhantomData))
    }
}

struct Reader<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
    type Value = Outcome<T>;

    fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        text.write_str("what came of one call")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Outcome<T>, A::Error> {
        let one = items.next_element()?.ok_or_else(|| A::Error::custom("a call has returned nothing"))?;
        match items.next_element::<IgnoredAny>()? {
            None => Ok(Outcome::Value(one)),
            Some(_) => Err(A::Error::custom("a call has returned several values")),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Outcome<T>, A::Error> {
        let (mut code, mut text) = (None, None);
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                "faultCode" => code = Some(members.next_value()?),
                "faultString" => text = Some(members.next_value()?),
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        match (code, text) {
            (Some(code), Some(text)) => Ok(Outcome::Fault(code, text)),
            _ => Err(A::Error::custom("there is a fault without code or text")),
        }
    }
}
