//! JSON in which no name occurs twice: parsers disagree about which one counts, and what one of them checked another one would
//! not use.

use std::{cell::Cell, fmt};

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::Reason;

/// An object, with nothing behind it.
pub(crate) fn object(text: &[u8]) -> Result<Map<String, Value>, Reason> {
    let twice = Cell::new(false);
    let mut reader = serde_json::Deserializer::from_slice(text);
    let read = Strict(&twice).deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    match read {
        Ok(Value::Object(object)) => Ok(object),
        _ if twice.get() => Err(Reason::DuplicateName),
        _ => Err(Reason::Malformed),
    }
}

/// Notes whether a name came twice. How deep it may go is serde_json's bound.
struct Strict<'a>(&'a Cell<bool>);

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element_seed(Strict(self.0))? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if all.contains_key(&name) {
                self.0.set(true);
                return Err(de::Error::custom("a name twice"));
            }
            let value = members.next_value_seed(Strict(self.0))?;
            all.insert(name, value);
        }
        Ok(Value::Object(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_occur_once_at_any_depth_and_nothing_follows() {
        assert_eq!(object(br#"{"a":1,"b":{"a":[{"a":null}]}}"#).unwrap().len(), 2);
        for twice in [&br#"{"a":1,"a":1}"#[..], br#"{"b":{"a":1,"a":2}}"#, br#"{"b":[{"a":1,"\u0061":2}]}"#] {
            assert_eq!(object(twice), Err(Reason::DuplicateName));
        }
        for bad in [&b""[..], b"[]", b"1", b"{", b"{} x", b"{}{}", b"{\"a\":NaN}", b"\xff{}", b"{'a':1}"] {
            assert_eq!(object(bad), Err(Reason::Malformed), "{}", String::from_utf8_lossy(bad));
        }
        let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
        assert_eq!(object(&deep), Err(Reason::Malformed));
    }
}
