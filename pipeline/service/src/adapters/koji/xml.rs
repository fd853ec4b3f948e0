//! Koji's dialect of XML-RPC, to and from JSON values: `nil`, `i8`, strings with their white space.
//!
//! A reply is read within limits: no document type, no entities but XML's own five, no depth without end. It must not
//! know HTTP, sessions or what a call means.

use base64::Engine;
use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};
use serde_json::{Map, Number, Value};

/// How deep values may lie in each other: Koji's deepest replies need about ten levels.
const DEEPEST: u32 = 64;

/// What a reply holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The value that a call returned.
    Value(Value),
    /// A fault, by its code and text.
    Fault(i64, String),
}

/// A call as it is read on the other side.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The method's name.
    pub method: String,
    /// Its parameters.
    pub params: Vec<Value>,
}

/// Why a text is no XML-RPC that is understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Garbled(String);

fn garbled<T>(why: impl Into<String>) -> Result<T, Garbled> {
    Err(Garbled(why.into()))
}

/// A call as text. What XML cannot carry, control characters above all, is left out.
pub fn call(method: &str, params: &[Value]) -> String {
    let mut text = String::from("<?xml version='1.0'?>\n<methodCall>\n<methodName>");
    escape(&mut text, method);
    text.push_str("</methodName>\n<params>\n");
    for param in params {
        text.push_str("<param>\n");
        write(&mut text, param);
        text.push_str("</param>\n");
    }
    text.push_str("</params>\n</methodCall>\n");
    text
}

/// A reply as text.
pub fn reply(reply: &Reply) -> String {
    let mut text = String::from("<?xml version='1.0'?>\n<methodResponse>\n");
    match reply {
        Reply::Value(value) => {
            text.push_str("<params>\n<param>\n");
            write(&mut text, value);
            text.push_str("</param>\n</params>\n");
        }
        Reply::Fault(code, why) => {
            text.push_str("<fault>\n");
            write(&mut text, &serde_json::json!({ "faultCode": code, "faultString": why }));
            text.push_str("</fault>\n");
        }
    }
    text.push_str("</methodResponse>\n");
    text
}

fn write(text: &mut String, value: &Value) {
    text.push_str("<value>");
    match value {
        // The hub writes no newline here, so that nobody reads its replies by lines.
        Value::Null => return text.push_str("<nil/></value>"),
        Value::Bool(value) => tagged(text, "boolean", if *value { "1" } else { "0" }),
        Value::Number(number) => tagged(text, kind(number), &number.to_string()),
        Value::String(value) => tagged(text, "string", value),
        Value::Array(values) => {
            text.push_str("<array><data>\n");
            for value in values {
                write(text, value);
            }
            text.push_str("</data></array>");
        }
        Value::Object(members) => {
            text.push_str("<struct>\n");
            for (name, value) in members {
                text.push_str("<member>\n");
                tagged(text, "name", name);
                text.push('\n');
                write(text, value);
                text.push_str("</member>\n");
            }
            text.push_str("</struct>");
        }
    }
    text.push_str("</value>\n");
}

fn kind(number: &Number) -> &'static str {
    match number.as_i64() {
        Some(value) if i32::try_from(value).is_ok() => "int",
        Some(_) => "i8",
        None => "double",
    }
}

fn tagged(text: &mut String, tag: &str, value: &str) {
    text.extend(["<", tag, ">"]);
    escape(text, value);
    text.extend(["</", tag, ">"]);
}

fn escape(text: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '&' => text.push_str("&amp;"),
            // As it is, a parser would make a newline of it.
            '\r' => text.push_str("&#13;"),
            '\n' | '\t' => text.push(character),
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => {}
            _ => text.push(character),
        }
    }
}

/// Reads a reply.
pub fn read_reply(text: &[u8]) -> Result<Reply, Garbled> {
    let mut parser = Parser::new(text);
    parser.open("methodResponse")?;
    let reply = match parser.tag()?.as_str() {
        "params" => {
            parser.open("param")?;
            parser.open("value")?;
            let value = parser.value()?;
            parser.close("param")?;
            parser.close("params")?;
            Reply::Value(value)
        }
        "fault" => {
            parser.open("value")?;
            let value = parser.value()?;
            parser.close("fault")?;
            let (Some(code), Some(why)) = (value["faultCode"].as_i64(), value["faultString"].as_str()) else {
                return garbled("there is a fault without code or text");
            };
            Reply::Fault(code, why.to_owned())
        }
        other => return garbled(format!("there is <{other}> in place of parameters or a fault")),
    };
    parser.close("methodResponse")?;
    Ok(reply)
}

/// Reads a call.
pub fn read_call(text: &[u8]) -> Result<Call, Garbled> {
    let mut parser = Parser::new(text);
    parser.open("methodCall")?;
    parser.open("methodName")?;
    let method = parser.text("methodName")?;
    let mut params = Vec::new();
    parser.open("params")?;
    while parser.opened("param", "params")? {
        parser.open("value")?;
        params.push(parser.value()?);
        parser.close("param")?;
    }
    parser.close("methodCall")?;
    Ok(Call { method, params })
}

struct Parser<'a> {
    reader: Reader<&'a [u8]>,
    depth: u32,
}

enum Token {
    Open(String),
    Close,
    Text(String),
    End,
}

impl<'a> Parser<'a> {
    fn new(text: &'a [u8]) -> Self {
        let mut reader = Reader::from_reader(text);
        reader.config_mut().expand_empty_elements = true;
        Parser { reader, depth: 0 }
    }

    fn token(&mut self) -> Result<Token, Garbled> {
        let broken = |error: &dyn std::fmt::Display| Garbled(format!("it is no XML: {error}"));
        loop {
            return Ok(match self.reader.read_event().map_err(|error| broken(&error))? {
                Event::Start(tag) => Token::Open(String::from_utf8_lossy(tag.name().as_ref()).into_owned()),
                // The reader has seen to it that it fits what was opened.
                Event::End(_) => Token::Close,
                Event::Text(text) => Token::Text(text.decode().map_err(|error| broken(&error))?.into_owned()),
                Event::CData(text) => {
                    Token::Text(text.decode().map_err(|error| broken(&error))?.into_owned())
                }
                Event::GeneralRef(name) => Token::Text(meaning(&name)?.to_string()),
                Event::DocType(_) => return garbled("it has a document type, which no hub sends"),
                Event::Decl(_) | Event::Comment(_) | Event::PI(_) | Event::Empty(_) => continue,
                Event::Eof => Token::End,
            });
        }
    }

    /// The next tag, open or closed (`None`), past white space.
    fn next_tag(&mut self) -> Result<Option<String>, Garbled> {
        loop {
            match self.token()? {
                Token::Text(text) if text.trim().is_empty() => {}
                Token::Text(_) => return garbled("there is text between the tags"),
                Token::Open(name) => return Ok(Some(name)),
                Token::Close => return Ok(None),
                Token::End => return garbled("it ends in the middle"),
            }
        }
    }

    fn tag(&mut self) -> Result<String, Garbled> {
        self.next_tag()?.ok_or_else(|| Garbled("something is missing".to_owned()))
    }

    fn open(&mut self, name: &str) -> Result<(), Garbled> {
        if self.opened(name, name)? { Ok(()) } else { garbled(format!("there is no <{name}>")) }
    }

    /// Whether `name` opens; otherwise `around` was closed.
    fn opened(&mut self, name: &str, around: &str) -> Result<bool, Garbled> {
        match self.next_tag()? {
            Some(found) if found == name => Ok(true),
            Some(found) => garbled(format!("there is <{found}> in place of <{name}> in <{around}>")),
            None => Ok(false),
        }
    }

    fn close(&mut self, name: &str) -> Result<(), Garbled> {
        match self.next_tag()? {
            None => Ok(()),
            Some(found) => garbled(format!("there is <{found}> at the end of <{name}>")),
        }
    }

    fn text(&mut self, within: &str) -> Result<String, Garbled> {
        let mut all = String::new();
        loop {
            match self.token()? {
                Token::Text(text) => all.push_str(&text),
                Token::Close => return Ok(all),
                Token::Open(tag) => return garbled(format!("there is <{tag}> in <{within}>")),
                Token::End => return garbled("it ends in the middle"),
            }
        }
    }

    /// What is in an opened `<value>`, up to its end.
    fn value(&mut self) -> Result<Value, Garbled> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return garbled("its values lie too deep in each other");
        }
        let mut text = String::new();
        let value = loop {
            match self.token()? {
                Token::Text(more) => text.push_str(&more),
                // Without a type it is a string.
                Token::Close => break Value::String(text),
                Token::Open(kind) => {
                    let value = self.typed(&kind)?;
                    self.close("value")?;
                    break value;
                }
                Token::End => return garbled("it ends in the middle"),
            }
        };
        self.depth -= 1;
        Ok(value)
    }

    fn typed(&mut self, kind: &str) -> Result<Value, Garbled> {
        match kind {
            "array" => self.array(),
            "struct" => self.members(),
            "nil" => self.text(kind).map(|_| Value::Null),
            "string" | "dateTime.iso8601" => self.text(kind).map(Value::String),
            "int" | "i4" | "i8" => {
                let text = self.text(kind)?;
                let number = text.trim().parse::<i64>();
                number.map(Value::from).or_else(|_| garbled(format!("{text:?} is no whole number")))
            }
            "boolean" => match self.text(kind)?.trim() {
                "0" => Ok(Value::Bool(false)),
                "1" => Ok(Value::Bool(true)),
                other => garbled(format!("{other:?} is neither true nor false")),
            },
            "double" => {
                let text = self.text(kind)?;
                let number = text.trim().parse().ok().and_then(Number::from_f64);
                number.map(Value::Number).ok_or_else(|| Garbled(format!("{text:?} is no number")))
            }
            "base64" => {
                let text: String = self.text(kind)?.split_whitespace().collect();
                let bytes = base64::engine::general_purpose::STANDARD.decode(text);
                let bytes = bytes.map_err(|error| Garbled(format!("it is no base64: {error}")))?;
                Ok(Value::String(String::from_utf8_lossy(&bytes).into_owned()))
            }
            other => garbled(format!("nobody knows the type <{other}>")),
        }
    }

    fn array(&mut self) -> Result<Value, Garbled> {
        let mut values = Vec::new();
        self.open("data")?;
        while self.opened("value", "data")? {
            values.push(self.value()?);
        }
        self.close("array")?;
        Ok(Value::Array(values))
    }

    fn members(&mut self) -> Result<Value, Garbled> {
        let mut members = Map::new();
        while self.opened("member", "struct")? {
            self.open("name")?;
            let name = self.text("name")?;
            self.open("value")?;
            members.insert(name, self.value()?);
            self.close("member")?;
        }
        Ok(Value::Object(members))
    }
}

/// What a reference stands for: a character by number, or one of XML's own five.
fn meaning(name: &BytesRef<'_>) -> Result<char, Garbled> {
    if let Ok(Some(character)) = name.resolve_char_ref() {
        return Ok(character);
    }
    match &**name {
        b"lt" => Ok('<'),
        b"gt" => Ok('>'),
        b"amp" => Ok('&'),
        b"apos" => Ok('\''),
        b"quot" => Ok('"'),
        other => {
            garbled(format!("it has the entity &{};, which no hub sends", String::from_utf8_lossy(other)))
        }
    }
}

#[cfg(test)]
mod tests;
