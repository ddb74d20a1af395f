//! The two forms of a receipt: what is neither is refused by name.

use super::*;

#[test]
fn json_says_what_the_signed_bytes_say_and_nothing_else() {
    let (workspace, bytes) = signed();
    let key = device_key(&workspace, "0001").trusted();
    let line = workspace.read("r.json");
    let text = String::from_utf8(line.clone()).unwrap();
    let document: Value = serde_json::from_slice(&line).unwrap();
    let verify = |json: &str| Kept::from_json(json.as_bytes()).and_then(|kept| kept.verify(&key));
    assert_eq!(*verify(&text).unwrap().receipt(), receipt());
    // White space and order mean nothing.
    assert!(verify(&serde_json::to_string_pretty(&document).unwrap()).is_ok());

    let predicate = document["predicate"].as_object().unwrap();
    assert_eq!(predicate.len(), 11);
    let mut changed = Vec::new();
    for (member, value) in predicate {
        let others = match value {
            Value::Number(_) => vec![json!(1), json!(-1), json!(7.5), json!("7"), json!(null)],
            _ => vec![json!("0002"), json!(""), json!(1), json!(null)],
        };
        for other in others {
            let mut document = document.clone();
            document["predicate"][member] = other;
            changed.push(document);
        }
        let mut without = document.clone();
        without["predicate"].as_object_mut().unwrap().remove(member);
        changed.push(without);
    }
    for (pointer, other) in [
        ("/subject/0/name", json!("another")),
        ("/subject/0/digest/sha512", json!("00")),
        ("/subject/0/digest", json!({})),
        ("/subject", json!([])),
        (
            "/subject",
            json!([document["subject"][0], document["subject"][0]]),
        ),
        ("/_type", json!("https://in-toto.io/Statement/v2")),
        ("/predicateType", json!("urn:sealnet:device-receipt:v2")),
        ("/predicateType", json!("urn:sealnet:training-receipt:v1")),
    ] {
        let mut document = document.clone();
        *document.pointer_mut(pointer).unwrap() = other;
        changed.push(document);
    }
    // The last digit of a digest too.
    let mut last = document.clone();
    let digest = last["predicate"]["logits_sha512"].as_str().unwrap();
    let end = if digest.ends_with('0') { "1" } else { "0" };
    last["predicate"]["logits_sha512"] = format!("{}{end}", &digest[..127]).into();
    changed.push(last);
    for pointer in ["", "/predicate", "/subject/0", "/subject/0/digest"] {
        let mut document = document.clone();
        let object = document
            .pointer_mut(pointer)
            .unwrap()
            .as_object_mut()
            .unwrap();
        object.insert("extra".into(), json!(1));
        changed.push(document);
    }
    for document in &changed {
        let text = document.to_string();
        assert!(verify(&text).is_err(), "{text}");
    }
    for (member, twice) in [
        ("\"label\":7", "\"label\":7,\"label\":7"),
        ("\"label\":7", "\"label\":8,\"label\":7"),
        ("\"label\":7", "\"label\":7,\"l\\u0061bel\":8"),
        ("\"predicate\":{", "\"predicate\":{},\"predicate\":{"),
        ("{\"_type\"", "{\"_type\":\"x\",\"_type\""),
        (
            "\"name\":\"model\"",
            "\"name\":\"model\",\"name\":\"model\"",
        ),
    ] {
        let text = text.replacen(member, twice, 1);
        assert!(text.contains(twice) && verify(&text).is_err(), "{text}");
    }
    for length in 0..text.len() - 1 {
        assert!(verify(&text[..length]).is_err(), "{length}");
    }
    // Base64 has one form.
    let carried = Base64::encode_string(&bytes);
    for other in [
        carried.trim_end_matches('=').to_owned(),
        format!("{carried}=="),
        carried.replacen('A', "\\n", 1),
    ] {
        assert!(other == carried || verify(&text.replace(&carried, &other)).is_err());
    }

    // The command says which member, with both values, and what is wrong with a form.
    workspace.write(
        "r.json",
        text.replace("\"label\":7", "\"label\":1").as_bytes(),
    );
    let words = "its member label is 1, and the signed bytes that it carries say 7";
    workspace.refused("receipt verify r.json", 1, words);
    workspace.write(
        "r.json",
        text.replace("\"label\":7", "\"label\":7,\"extra\":7")
            .as_bytes(),
    );
    workspace.refused("receipt verify r.json", 1, "unknown field `extra`");
    workspace.write(
        "r.json",
        text.replace("\"label\":7", "\"label\":7,\"label\":7")
            .as_bytes(),
    );
    workspace.refused("receipt verify r.json", 1, "\"label\" appears twice");
    workspace.write("r.json", &line[..line.len() / 2]);
    workspace.refused("receipt verify r.json", 1, "it is not JSON: EOF");
    workspace.write(
        "r.json",
        text.replace("device-receipt:v1", "device-receipt:v9")
            .as_bytes(),
    );
    workspace.refused("receipt verify r.json", 1, "urn:sealnet:device-receipt:v9");
}

#[test]
fn rubbish_is_refused_by_name() {
    let (workspace, bytes) = signed();
    let statement = String::from_utf8(workspace.read("r.json")).unwrap();
    let padded = format!("{}{}", " ".repeat(20 << 10), statement.trim_end());
    let noise: Vec<u8> = (0..4096_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let deep = format!("{{\"a\":{}", "[".repeat(100_000));
    let nested = format!("{{\"a\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
    let mixed = [&noise[..640], &bytes[..300]].concat();
    let longer = [&bytes[..], b"\n"].concat();
    let cases: [(&[u8], &str); 12] = [
        (b"", "it is empty"),
        (b" \n\t ", "it is empty"),
        (&bytes[..319], "its length is 319 where a receipt has 320"),
        (
            &longer,
            "rubbish, receipt 2 is refused: its length is 1 where",
        ),
        (&noise[..300], "it holds no receipt"),
        (&noise[..320], "it holds no receipt"),
        (&noise, "it holds no receipt"),
        (&mixed, "receipt 1: form: not a receipt"),
        (b"{", "it is not JSON"),
        (padded.as_bytes(), "at most 16384"),
        (deep.as_bytes(), "it is not JSON: EOF"),
        (nested.as_bytes(), "missing field `_type`"),
    ];
    for (bytes, words) in cases {
        workspace.write("rubbish", bytes);
        let ran = workspace.run("receipt verify rubbish");
        assert_eq!(ran.code, 1, "{words}: {}", ran.stderr);
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
        assert!(ran.stderr.contains("hint:"), "{}", ran.stderr);
    }
    let huge = fs::File::create(workspace.path("huge")).unwrap();
    huge.set_len((256 << 20) + 1).unwrap();
    workspace.refused("receipt verify huge", 2, "huge is larger than");
    workspace.refused("receipt verify keys", 2, "it is a folder");
}
