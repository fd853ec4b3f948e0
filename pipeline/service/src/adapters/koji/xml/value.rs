//! Values, read as what is wanted of them.

use std::io::BufRead;

use base64::Engine;
use serde::de::value::StringDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;

use super::{DEEPEST, Garbled, MOST, Parser, Token, garbled};

impl serde::de::Error for Garbled {
    fn custom<T: std::fmt::Display>(why: T) -> Self {
        Garbled(why.to_string())
    }
}

/// A value of which as much is read as tells its type.
struct Begun<'a, R> {
    parser: &'a mut Parser<R>,
    content: Content,
}

enum Content {
    /// A text without a type: all of it is read.
    Text(String),
    /// The tag of this type is open.
    Typed(String),
}

impl<R: BufRead> Parser<R> {
    /// What is in an opened `<value>`, up to its end.
    pub(super) fn value<T: DeserializeOwned>(&mut self) -> Result<T, Garbled> {
        T::deserialize(self.begin()?)
    }

    fn begin(&mut self) -> Result<Begun<'_, R>, Garbled> {
        (self.depth, self.values) = (self.depth + 1, self.values + 1);
        if self.depth > DEEPEST {
            return garbled("its values lie too deep in each other");
        }
        if self.values > MOST {
            return garbled(format!("it has more than {MOST} values"));
        }
        let mut text = String::new();
        let content = loop {
            match self.token()? {
                Token::Text(more) => text.push_str(&more),
                // Without a type it is a string.
                Token::Close => break Content::Text(text),
                Token::Open(kind) => break Content::Typed(kind),
                Token::End => return garbled("it ends in the middle"),
            }
        };
        Ok(Begun { parser: self, content })
    }

    fn typed<'de, V: Visitor<'de>>(&mut self, kind: &str, visitor: V) -> Result<V::Value, Garbled> {
        match kind {
            "array" => self.array(visitor),
            "struct" => self.members(visitor),
            "nil" => self.text(kind).and_then(|_| visitor.visit_unit()),
            "string" | "dateTime.iso8601" => visitor.visit_string(self.text(kind)?),
            "int" | "i4" | "i8" => {
                let text = self.text(kind)?;
                match text.trim().parse() {
                    Ok(number) => visitor.visit_i64(number),
                    Err(_) => garbled(format!("{text:?} is no whole number")),
                }
            }
            "boolean" => match self.text(kind)?.trim() {
                "0" => visitor.visit_bool(false),
                "1" => visitor.visit_bool(true),
                other => garbled(format!("{other:?} is neither true nor false")),
            },
            "double" => {
                let text = self.text(kind)?;
                match text.trim().parse::<f64>() {
                    Ok(number) if number.is_finite() => visitor.visit_f64(number),
                    Ok(_) | Err(_) => garbled(format!("{text:?} is no number")),
                }
            }
            "base64" => {
                let text: String = self.text(kind)?.split_whitespace().collect();
                let bytes = base64::engine::general_purpose::STANDARD.decode(text);
                let bytes = bytes.map_err(|error| Garbled(format!("it is no base64: {error}")))?;
                visitor.visit_string(String::from_utf8_lossy(&bytes).into_owned())
            }
            other => garbled(format!("nobody knows the type <{other}>")),
        }
    }

    fn array<'de, V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Garbled> {
        self.open("data")?;
        let mut items = Items { parser: self, is_over: false };
        let array = visitor.visit_seq(&mut items)?;
        while items.next_element::<IgnoredAny>()?.is_some() {}
        self.close("array")?;
        Ok(array)
    }

    fn members<'de, V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Garbled> {
        let mut members = Members { parser: self, is_over: false };
        let all = visitor.visit_map(&mut members)?;
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(all)
    }
}

impl<'de, R: BufRead> Deserializer<'de> for Begun<'_, R> {
    type Error = Garbled;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Garbled> {
        let value = match self.content {
            Content::Text(text) => visitor.visit_string(text)?,
            Content::Typed(kind) => {
                let value = self.parser.typed(&kind, visitor)?;
                self.parser.close("value")?;
                value
            }
        };
        self.parser.depth -= 1;
        Ok(value)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Garbled> {
        match &self.content {
            // As a unit, which is no value too.
            Content::Typed(kind) if kind == "nil" => self.deserialize_any(visitor),
            Content::Text(_) | Content::Typed(_) => visitor.visit_some(self),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct Items<'a, R> {
    parser: &'a mut Parser<R>,
    is_over: bool,
}

impl<'de, R: BufRead> SeqAccess<'de> for Items<'_, R> {
    type Error = Garbled;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Garbled> {
        if self.is_over || !self.parser.opened("value", "data")? {
            self.is_over = true;
            return Ok(None);
        }
        seed.deserialize(self.parser.begin()?).map(Some)
    }
}

struct Members<'a, R> {
    parser: &'a mut Parser<R>,
    is_over: bool,
}

impl<'de, R: BufRead> MapAccess<'de> for Members<'_, R> {
    type Error = Garbled;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Garbled> {
        if self.is_over || !self.parser.opened("member", "struct")? {
            self.is_over = true;
            return Ok(None);
        }
        self.parser.open("name")?;
        let name: StringDeserializer<Garbled> = self.parser.text("name")?.into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Garbled> {
        self.parser.open("value")?;
        let value = seed.deserialize(self.parser.begin()?)?;
        self.parser.close("member")?;
        Ok(value)
    }
}
