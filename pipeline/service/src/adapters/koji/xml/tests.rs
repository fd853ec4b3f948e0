use proptest::prelude::*;
use serde_json::json;

use super::*;

fn value_of(inner: &str) -> Result<Value, Garbled> {
    let text = format!(
        "<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n{inner}</param>\n</params>\n</methodResponse>\n"
    );
    match read_reply(text.as_bytes())? {
        Reply::Value(value) => Ok(value),
        Reply::Fault(code, text) => panic!("{code} {text}"),
    }
}

#[test]
fn every_type_of_koji_is_read() {
    let cases = [
        ("<value><nil/></value>", json!(null)),
        ("<value><int>-7</int></value>\n", json!(-7)),
        ("<value><i4>7</i4></value>\n", json!(7)),
        ("<value><i8>1099511627776</i8></value>\n", json!(1_099_511_627_776_i64)),
        ("<value><boolean>1</boolean></value>\n", json!(true)),
        ("<value><double>1795251680.834429</double></value>\n", json!(1_795_251_680.834_429)),
        ("<value><string> a &lt;b&gt; &amp; c\n</string></value>\n", json!(" a <b> & c\n")),
        ("<value><string></string></value>", json!("")),
        ("<value><string/></value>", json!("")),
        ("<value>untagged &#65;</value>", json!("untagged A")),
        ("<value/>", json!("")),
        ("<value><base64>aGVs\nbG8=</base64></value>", json!("hello")),
        ("<value><array><data/></array></value>", json!([])),
        (
            "<value><array><data>\n<value><nil/></value><value><int>1</int></value>\n</data></array></value>",
            json!([null, 1]),
        ),
        ("<value><struct>\n</struct></value>\n", json!({})),
        (
            "<value><struct>\n<member>\n<name>33</name>\n<value><array><data>\n</data></array></value>\n</member>\n</struct></value>\n",
            json!({ "33": [] }),
        ),
    ];
    for (text, value) in cases {
        assert_eq!(value_of(text).unwrap(), value, "{text}");
    }
}

#[test]
fn what_no_hub_sends_is_refused() {
    let deep = |depth: usize| {
        let (open, close) = ("<value><array><data>", "</data></array></value>");
        format!("{}<value>x</value>{}", open.repeat(depth), close.repeat(depth))
    };
    assert!(value_of(&deep(40)).is_ok());
    let refused = [
        (deep(70), "too deep"),
        (deep(200_000), "too deep"),
        ("<value>&bomb;</value>".to_owned(), "entity &bomb;"),
        ("<value><int>1.5</int></value>".to_owned(), "no whole number"),
        ("<value><int>9223372036854775808</int></value>".to_owned(), "no whole number"),
        ("<value><double>inf</double></value>".to_owned(), "no number"),
        ("<value><boolean>yes</boolean></value>".to_owned(), "neither true nor false"),
        ("<value><thing>1</thing></value>".to_owned(), "nobody knows the type"),
        ("<value><int>1</int>".to_owned(), "no XML"),
        ("<value><string>1".to_owned(), "no XML"),
    ];
    for (text, why) in refused {
        let error = value_of(&text).unwrap_err().to_string();
        assert!(error.contains(why), "{why}: {error}");
    }
}

#[test]
fn a_bomb_of_entities_is_refused_before_it_is_lit() {
    let bomb = "<?xml version='1.0'?><!DOCTYPE lolz [<!ENTITY lol \"lol\"><!ENTITY lol2 \"&lol;&lol;\">]>\
                <methodResponse><params><param><value>&lol2;</value></param></params></methodResponse>";
    let error = read_reply::<Value>(bomb.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("document type"), "{error}");
}

#[test]
fn a_fault_is_told_from_a_value_that_looks_like_one() {
    let fault = json!({ "faultCode": 1000, "faultString": "Invalid method: nosuch" });
    let text = reply(&Reply::Fault(1000, "Invalid method: nosuch".to_owned()));
    assert_eq!(
        read_reply::<Value>(text.as_bytes()),
        Ok(Reply::Fault(1000, "Invalid method: nosuch".to_owned()))
    );
    // `getTaskResult` with `raise_fault` off answers so.
    let text = reply(&Reply::Value(fault.clone()));
    assert_eq!(read_reply(text.as_bytes()), Ok(Reply::Value(fault)));
}

#[test]
fn a_call_is_written_as_the_hub_wants_it() {
    let params =
        [json!("a\u{0}\u{1b}b\r<"), json!(2_147_483_648_i64), json!({ "__starstar": true, "opts": null })];
    insta::assert_snapshot!(call("echo", &params), @r"
    <?xml version='1.0'?>
    <methodCall>
    <methodName>echo</methodName>
    <params>
    <param>
    <value><string>ab&#13;&lt;</string></value>
    </param>
    <param>
    <value><i8>2147483648</i8></value>
    </param>
    <param>
    <value><struct>
    <member>
    <name>__starstar</name>
    <value><boolean>1</boolean></value>
    </member>
    <member>
    <name>opts</name>
    <value><nil/></value></member>
    </struct></value>
    </param>
    </params>
    </methodCall>
    ");
}

/// Any value that XML-RPC can carry.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9_f64).prop_map(Value::from),
        "[^\u{0}-\u{8}\u{b}\u{c}\u{e}-\u{1f}\u{fffe}\u{ffff}]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map("[a-z_ <&]{1,8}", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(value in values()) {
        let text = reply(&Reply::Value(value.clone()));
        prop_assert_eq!(read_reply(text.as_bytes()), Ok(Reply::Value(value.clone())));
        let text = call("m", std::slice::from_ref(&value));
        prop_assert_eq!(read_call(text.as_bytes()), Ok(Call { method: "m".to_owned(), params: vec![value] }));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_reply::<Value>(&bytes[..]);
        let _ = read_call(&bytes[..]);
    }
}
