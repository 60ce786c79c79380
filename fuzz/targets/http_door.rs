//! What the HTTP door does with a body: decompress, read JSON or take protobuf as it is, check. The first byte chooses
//! signal, encoding and content type.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sekisho::otlp::{
    Signal,
    check::check,
    compression::{Encoding, decompress},
    json::{to_json, to_protobuf},
};

const LIMIT: usize = 1 << 20;
const ENCODINGS: [Encoding; 6] =
    [Encoding::Identity, Encoding::Gzip, Encoding::Deflate, Encoding::Zstd, Encoding::Snappy, Encoding::SnappyFramed];

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, sent)) = bytes.split_first() else { return };
    let signal = Signal::ALL[usize::from(choice) % Signal::ALL.len()];
    let encoding = ENCODINGS[usize::from(choice >> 2) % ENCODINGS.len()];
    let Ok(body) = decompress(encoding, sent, LIMIT) else { return };
    assert!(body.len() <= LIMIT);
    let body = if choice & 0x80 == 0 {
        body.to_vec()
    } else {
        let Ok(body) = to_protobuf(signal, &body) else { return };
        body
    };
    if let Ok(items) = check(signal, &body) {
        let mut json = Vec::new();
        to_json(signal, &body, &mut json);
        let back = to_protobuf(signal, &json).expect("our own JSON");
        assert_eq!(check(signal, &back), Ok(items));
    }
});
