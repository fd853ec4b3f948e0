//! Koji's dialect of XML-RPC: `nil`, `i8`, strings with their white space.
//!
//! A reply is read while it comes in, each value at once as what is wanted of it, so that what nobody wants takes no
//! memory; and within limits: no document type, no entities but XML's own five, no depth and no number of values without
//! end. It must not know HTTP, sessions or what a call means.

mod value;
mod outcome;

use std::io::BufRead;

use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};
use serde::de::DeserializeOwned;
use serde_json::{Number, Value};

pub use self::outcome::Outcome;

/// How deep values may lie in each other: Koji's deepest replies need about ten levels.
const DEEPEST: u32 = 64;

/// How many values a reply may have. A tag with 25,000 builds is told in 540,000; each may take a hundred bytes of memory
/// and seven of the reply.
const MOST: u32 = 1_000_000;

/// What a reply holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply<T = Value> {
    /// The value that a call returned.
    Value(T),
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

/// Reads a reply, its value as what is wanted of it.
pub fn read_reply<T: DeserializeOwned>(source: impl BufRead) -> Result<Reply<T>, Garbled> {
    let mut parser = Parser::new(source);
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
            let value: Value = parser.value()?;
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
pub fn read_call(source: impl BufRead) -> Result<Call, Garbled> {
    let mut parser = Parser::new(source);
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

struct Parser<R> {
    reader: Reader<R>,
    /// The last piece that was read, used again for the next.
    piece: Vec<u8>,
    depth: u32,
    values: u32,
}

enum Token {
    Open(String),
    Close,
    Text(String),
    End,
}

impl<R: BufRead> Parser<R> {
    fn new(source: R) -> Self {
        let mut reader = Reader::from_reader(source);
        reader.config_mut().expand_empty_elements = true;
        Parser { reader, piece: Vec::new(), depth: 0, values: 0 }
    }

    fn token(&mut self) -> Result<Token, Garbled> {
        let broken = |error: &dyn std::fmt::Display| Garbled(format!("it is no XML: {error}"));
        loop {
            self.piece.clear();
            let event = self.reader.read_event_into(&mut self.piece);
            return Ok(match event.map_err(|error| broken(&error))? {
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
