//! Whole bodies, compressed and decompressed in one call each: OTLP bodies are bounded, so streaming would be waste.
//!
//! Decompression never gives more than the limit, however small the bomb; a body that claims to be larger than it is
//! costs no memory for the claim alone.

use std::{
    cell::RefCell,
    io::{Read as _, Write as _},
};

use bytes::Bytes;
use libdeflater::{CompressionLvl, Compressor, DecompressionError, Decompressor};

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 1950 (what HTTP calls deflate); raw RFC 1951 is read too.
    Deflate,
    /// The same under its own name.
    Zlib,
    /// RFC 8878.
    Zstd,
    /// One Snappy block; Snappy frames are read too, because the Collector sent them under this name for years.
    Snappy,
    /// Snappy frames.
    SnappyFramed,
}

/// Why a body could not be decompressed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompressionError {
    /// It would be larger than allowed.
    #[error("larger than {limit} bytes when decompressed")]
    TooLarge {
        /// The most it may be.
        limit: usize,
    },
    /// It is not what its encoding says.
    #[error("not valid {encoding}: {reason}")]
    Malformed {
        /// The encoding's name.
        encoding: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// Level 1 of gzip is a third of the default's cost for a tenth more bytes, on OTLP bodies.
const GZIP_LEVEL: i32 = 1;
const ZSTD_LEVEL: i32 = 1;
/// zstd frames may ask for a window of this many bits at most: the largest body allowed by default.
const ZSTD_WINDOW_BITS: u32 = 26;
/// The most that deflate can expand, RFC 1951: 258 bytes from two bits.
const DEFLATE_RATIO: usize = 1032;
/// The most that a Snappy block can expand: 64 bytes from a copy of three.
const SNAPPY_RATIO: usize = 22;
/// What a stream of Snappy frames begins with.
const SNAPPY_FRAMES: &[u8] = b"\xff\x06\x00\x00sNaPpY";

type Deflate = fn(&mut Compressor, &[u8], &mut [u8]) -> Result<usize, libdeflater::CompressionError>;
type Inflate = fn(&mut Decompressor, &[u8], &mut [u8]) -> Result<usize, DecompressionError>;

thread_local! {
    // A compressor is some hundred KB: one a thread, not one a request.
    static DEFLATE: RefCell<Compressor> =
        RefCell::new(Compressor::new(CompressionLvl::new(GZIP_LEVEL).unwrap_or_default()));
    static INFLATE: RefCell<Decompressor> = RefCell::new(Decompressor::new());
}

impl Encoding {
    /// From the name HTTP and gRPC use for it; nothing means identity.
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.trim();
        let known = [
            ("", Self::Identity),
            ("none", Self::Identity),
            ("identity", Self::Identity),
            ("gzip", Self::Gzip),
            ("deflate", Self::Deflate),
            ("zlib", Self::Zlib),
            ("zstd", Self::Zstd),
            ("snappy", Self::Snappy),
            ("x-snappy-framed", Self::SnappyFramed),
        ];
        known.into_iter().find_map(|(known, encoding)| name.eq_ignore_ascii_case(known).then_some(encoding))
    }

    /// The name HTTP and gRPC use for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Zlib => "zlib",
            Self::Zstd => "zstd",
            Self::Snappy => "snappy",
            Self::SnappyFramed => "x-snappy-framed",
        }
    }

    /// What gRPC means by the same name: there, snappy is framed.
    #[must_use]
    pub const fn in_grpc(self) -> Self {
        match self {
            Self::Snappy => Self::SnappyFramed,
            same => same,
        }
    }
}

/// `body` in this encoding.
pub fn compress(encoding: Encoding, body: &[u8]) -> Vec<u8> {
    match encoding {
        Encoding::Identity => body.to_vec(),
        Encoding::Gzip => deflate(body, Compressor::gzip_compress_bound, Compressor::gzip_compress),
        Encoding::Deflate | Encoding::Zlib => deflate(body, Compressor::zlib_compress_bound, Compressor::zlib_compress),
        // These fail only when memory does, or from 4 GiB on, which no body reaches.
        Encoding::Zstd => zstd::bulk::compress(body, ZSTD_LEVEL).unwrap_or_default(),
        Encoding::Snappy => snap::raw::Encoder::new().compress_vec(body).unwrap_or_default(),
        Encoding::SnappyFramed => snappy_frames(body).unwrap_or_default(),
    }
}

fn snappy_frames(body: &[u8]) -> std::io::Result<Vec<u8>> {
    if body.is_empty() {
        return Ok(SNAPPY_FRAMES.to_vec());
    }
    let mut frames = snap::write::FrameEncoder::new(Vec::with_capacity(body.len() / 2));
    frames.write_all(body)?;
    frames.into_inner().map_err(snap::write::IntoInnerError::into_error)
}

fn deflate(body: &[u8], bound: fn(&mut Compressor, usize) -> usize, compress: Deflate) -> Vec<u8> {
    DEFLATE.with_borrow_mut(|compressor| {
        let mut out = vec![0; bound(compressor, body.len())];
        // The bound is what the library promises to be enough.
        let written = compress(compressor, body, &mut out).unwrap_or_default();
        out.truncate(written);
        out
    })
}

/// What `sent` is when decompressed, if it is at most `limit` bytes.
pub fn decompress(encoding: Encoding, sent: &[u8], limit: usize) -> Result<Bytes, CompressionError> {
    let plain = match encoding {
        Encoding::Identity if sent.len() > limit => return Err(CompressionError::TooLarge { limit }),
        Encoding::Identity => sent.to_vec(),
        Encoding::Gzip => gunzip(sent, limit)?,
        Encoding::Deflate | Encoding::Zlib => inflate(encoding, sent, limit, None, Decompressor::zlib_decompress)
            .or_else(|error| match error {
                CompressionError::Malformed { .. } => {
                    inflate(encoding, sent, limit, None, Decompressor::deflate_decompress)
                }
                CompressionError::TooLarge { .. } => Err(error),
            })?,
        Encoding::Zstd => unzstd(sent, limit)?,
        Encoding::SnappyFramed => unsnap_frames(sent, limit)?,
        Encoding::Snappy if sent.starts_with(SNAPPY_FRAMES) => unsnap_frames(sent, limit)?,
        Encoding::Snappy => unsnap_block(sent, limit)?,
    };
    Ok(Bytes::from(plain))
}

fn gunzip(sent: &[u8], limit: usize) -> Result<Vec<u8>, CompressionError> {
    let claimed = sent.last_chunk::<4>().map(|size| u32::from_le_bytes(*size));
    let plain = inflate(Encoding::Gzip, sent, limit, claimed, Decompressor::gzip_decompress)?;
    // The one-shot call reads the first member only; whatever follows must not be lost silently.
    if claimed == Some(plain.len() as u32) {
        Ok(plain)
    } else {
        Err(malformed(Encoding::Gzip, "more follows behind the first member; send one member"))
    }
}

fn inflate(
    encoding: Encoding,
    sent: &[u8],
    limit: usize,
    claimed: Option<u32>,
    decompress: Inflate,
) -> Result<Vec<u8>, CompressionError> {
    let most = limit.min(sent.len().saturating_mul(DEFLATE_RATIO));
    let guess = claimed.map_or(sent.len().saturating_mul(4), |claimed| claimed as usize);
    let mut room = guess.clamp(1024.min(most), most);
    INFLATE.with_borrow_mut(|decompressor| {
        loop {
            let mut plain = vec![0; room];
            match decompress(decompressor, sent, &mut plain) {
                Ok(written) => {
                    plain.truncate(written);
                    return Ok(plain);
                }
                Err(DecompressionError::BadData) => return Err(malformed(encoding, "damaged or cut off")),
                Err(DecompressionError::InsufficientSpace) if room == limit => {
                    return Err(CompressionError::TooLarge { limit });
                }
                Err(DecompressionError::InsufficientSpace) if room == most => {
                    return Err(malformed(encoding, "damaged"));
                }
                Err(DecompressionError::InsufficientSpace) => room = room.saturating_mul(4).min(most),
            }
        }
    })
}

fn unzstd(sent: &[u8], limit: usize) -> Result<Vec<u8>, CompressionError> {
    let failed = |error: std::io::Error| malformed(Encoding::Zstd, &error.to_string());
    let mut decoder = zstd::stream::read::Decoder::with_buffer(sent).map_err(failed)?;
    decoder.window_log_max(ZSTD_WINDOW_BITS).map_err(failed)?;
    let mut plain = Vec::with_capacity(sent.len().saturating_mul(4).min(limit));
    decoder.take(limit as u64 + 1).read_to_end(&mut plain).map_err(failed)?;
    if plain.len() > limit { Err(CompressionError::TooLarge { limit }) } else { Ok(plain) }
}

fn unsnap_block(sent: &[u8], limit: usize) -> Result<Vec<u8>, CompressionError> {
    let failed = |error: snap::Error| malformed(Encoding::Snappy, &error.to_string());
    let claimed = snap::raw::decompress_len(sent).map_err(failed)?;
    if claimed > limit {
        return Err(CompressionError::TooLarge { limit });
    }
    if claimed > sent.len().saturating_mul(SNAPPY_RATIO) {
        return Err(malformed(Encoding::Snappy, "it is shorter than it says"));
    }
    snap::raw::Decoder::new().decompress_vec(sent).map_err(failed)
}

fn unsnap_frames(sent: &[u8], limit: usize) -> Result<Vec<u8>, CompressionError> {
    let mut plain = Vec::with_capacity(sent.len().saturating_mul(4).min(limit));
    let mut frames = snap::read::FrameDecoder::new(sent).take(limit as u64 + 1);
    frames.read_to_end(&mut plain).map_err(|error| malformed(Encoding::SnappyFramed, &error.to_string()))?;
    if plain.len() > limit { Err(CompressionError::TooLarge { limit }) } else { Ok(plain) }
}

fn malformed(encoding: Encoding, reason: &str) -> CompressionError {
    CompressionError::Malformed { encoding: encoding.name(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Encoding; 7] = [
        Encoding::Identity,
        Encoding::Gzip,
        Encoding::Deflate,
        Encoding::Zlib,
        Encoding::Zstd,
        Encoding::Snappy,
        Encoding::SnappyFramed,
    ];

    #[test]
    fn what_is_compressed_comes_back_within_the_limit_and_is_refused_beyond_it() {
        let bodies: [&[u8]; 4] =
            [b"", b"x", &[7; 100_000], &(0..50_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>()];
        for encoding in ALL {
            for body in bodies {
                let sent = compress(encoding, body);
                assert_eq!(decompress(encoding, &sent, body.len()).unwrap(), body, "{encoding:?}");
                if let Some(less) = body.len().checked_sub(1) {
                    let refused = decompress(encoding, &sent, less);
                    assert_eq!(refused, Err(CompressionError::TooLarge { limit: less }), "{encoding:?}");
                }
            }
        }
    }

    #[test]
    fn damage_is_refused_and_never_panics() {
        let body: Vec<u8> = (0..2000_u32).flat_map(|n| (n * n).to_le_bytes()).collect();
        for encoding in ALL.into_iter().filter(|encoding| *encoding != Encoding::Identity) {
            let sent = compress(encoding, &body);
            for cut in 0..sent.len() {
                assert_ne!(
                    decompress(encoding, &sent[..cut], 1 << 20).ok().as_deref(),
                    Some(&body[..]),
                    "{encoding:?} cut at {cut}"
                );
            }
            for place in 0..sent.len() {
                let mut damaged = sent.clone();
                damaged[place] ^= 0x55;
                let _ = decompress(encoding, &damaged, 1 << 20);
            }
        }
    }

    #[test]
    fn a_second_gzip_member_is_refused_not_dropped() {
        let mut sent = compress(Encoding::Gzip, b"first");
        sent.extend(compress(Encoding::Gzip, b"and a second"));
        assert!(matches!(decompress(Encoding::Gzip, &sent, 1 << 20), Err(CompressionError::Malformed { .. })));
    }

    #[test]
    fn frames_are_read_under_the_block_formats_name() {
        let sent = compress(Encoding::Snappy.in_grpc(), b"as the Collector used to");
        assert_eq!(decompress(Encoding::Snappy, &sent, 100).unwrap(), &b"as the Collector used to"[..]);
    }

    #[test]
    fn a_snappy_block_that_only_claims_to_be_large_costs_nothing() {
        // A length of 60 MB, then nothing.
        let refused = decompress(Encoding::Snappy, b"\x80\x98\xce\x1c", 64 << 20);
        assert!(matches!(refused, Err(CompressionError::Malformed { .. })), "{refused:?}");
    }

    #[test]
    fn names_are_those_of_http() {
        for encoding in ALL {
            assert_eq!(Encoding::parse(encoding.name()), Some(encoding));
        }
        assert_eq!(Encoding::parse("GZIP"), Some(Encoding::Gzip));
        assert_eq!(Encoding::parse("br"), None);
    }
}
