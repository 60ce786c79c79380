//! Whole bodies, compressed and decompressed in one call each: OTLP bodies are bounded, so streaming would be waste.
//!
//! Decompression never gives more than the limit, however small the bomb; a body that claims to be larger than it is
//! costs no memory for the claim alone.

use std::{
    cell::RefCell,
    io::{Read, Write as _},
    ops::RangeInclusive,
};

use bytes::Bytes;
use libdeflater::{CompressionLvl, Compressor, DecompressionError, Decompressor};
use lz4_flex::frame::{self, FrameDecoder, FrameEncoder, FrameInfo};

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
    /// LZ4 frames.
    Lz4,
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

/// Unless another is asked for: level 1 of gzip is a third of the usual one's cost for a tenth more bytes, on OTLP bodies.
const GZIP_LEVEL: i32 = 1;
const ZSTD_LEVEL: i32 = 1;
/// zstd frames may ask for a window of this many bits at most: the largest body allowed by default.
const ZSTD_WINDOW_BITS: u32 = 26;
/// Room to compress into is kept from one body to the next, if it is no larger.
const KEPT: usize = 4 << 20;
/// Room for at most so many times what was sent is made for what a zstd frame claims to hold.
const ZSTD_BELIEVED: usize = 64;
/// The most that deflate can expand, RFC 1951: 258 bytes from two bits.
const DEFLATE_RATIO: usize = 1032;
/// The most that a Snappy block can expand: 64 bytes from a copy of three.
const SNAPPY_RATIO: usize = 22;
/// Where an LZ4 frame's flags are; the one that says that four bytes of checksum follow its end happens to be 4.
const LZ4_FLAGS: usize = 4;
const LZ4_HAS_CHECKSUM: u8 = 4;
const LZ4_END: [u8; 4] = [0; 4];
/// What a stream of Snappy frames begins with.
const SNAPPY_FRAMES: &[u8] = b"\xff\x06\x00\x00sNaPpY";

type ByLevel<T> = Vec<(i32, T)>;
type Deflate = fn(&mut Compressor, &[u8], &mut [u8]) -> Result<usize, libdeflater::CompressionError>;
type Inflate = fn(&mut Decompressor, &[u8], &mut [u8]) -> Result<usize, DecompressionError>;

thread_local! {
    // A compressor is some hundred KB: one a thread and level, not one a request.
    static DEFLATE: RefCell<(ByLevel<Compressor>, Vec<u8>)> = const { RefCell::new((Vec::new(), Vec::new())) };
    static INFLATE: RefCell<Decompressor> = RefCell::new(Decompressor::new());
    static ZSTD: RefCell<ByLevel<zstd::bulk::Compressor<'static>>> = const { RefCell::new(Vec::new()) };
    static UNZSTD: RefCell<Option<zstd::bulk::Decompressor<'static>>> =
        RefCell::new(zstd::bulk::Decompressor::new().ok());
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
            ("lz4", Self::Lz4),
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
            Self::Lz4 => "lz4",
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

impl Encoding {
    /// Levels that may be asked for.
    pub const fn levels(self) -> Option<RangeInclusive<i32>> {
        match self {
            Self::Gzip | Self::Deflate | Self::Zlib => Some(0..=9),
            Self::Zstd => Some(1..=22),
            Self::Identity | Self::Snappy | Self::SnappyFramed | Self::Lz4 => None,
        }
    }
}

/// `body` in this encoding, at the level that suits telemetry.
pub fn compress(encoding: Encoding, body: &[u8]) -> Vec<u8> {
    compress_at(encoding, None, body)
}

/// The same at this level, if one is given; it is one of the encoding's levels.
pub fn compress_at(encoding: Encoding, level: Option<i32>, body: &[u8]) -> Vec<u8> {
    let deflate_level = level.unwrap_or(GZIP_LEVEL);
    match encoding {
        Encoding::Identity => body.to_vec(),
        Encoding::Gzip => deflate(deflate_level, body, Compressor::gzip_compress_bound, Compressor::gzip_compress),
        Encoding::Deflate | Encoding::Zlib => {
            deflate(deflate_level, body, Compressor::zlib_compress_bound, Compressor::zlib_compress)
        }
        // These fail only when memory does, or from 4 GiB on, which no body reaches.
        Encoding::Zstd => {
            let level = level.unwrap_or(ZSTD_LEVEL);
            let new = || zstd::bulk::Compressor::new(level).ok();
            ZSTD.with_borrow_mut(|all| of_level(all, level, new)?.compress(body).ok()).unwrap_or_default()
        }
        Encoding::Snappy => snap::raw::Encoder::new().compress_vec(body).unwrap_or_default(),
        Encoding::SnappyFramed => snappy_frames(body).unwrap_or_default(),
        Encoding::Lz4 => lz4_frame(body).unwrap_or_default(),
    }
}

/// The one of this level, made if there is none yet.
fn of_level<T>(all: &mut ByLevel<T>, level: i32, new: impl FnOnce() -> Option<T>) -> Option<&mut T> {
    if all.iter().all(|(known, _)| *known != level) {
        all.push((level, new()?));
    }
    all.iter_mut().find(|(known, _)| *known == level).map(|(_, one)| one)
}

fn lz4_frame(body: &[u8]) -> Result<Vec<u8>, frame::Error> {
    let info = FrameInfo::new().content_checksum(true);
    let mut frame = FrameEncoder::with_frame_info(info, Vec::with_capacity(body.len() / 2));
    frame.write_all(body)?;
    frame.finish()
}

fn snappy_frames(body: &[u8]) -> std::io::Result<Vec<u8>> {
    if body.is_empty() {
        return Ok(SNAPPY_FRAMES.to_vec());
    }
    let mut frames = snap::write::FrameEncoder::new(Vec::with_capacity(body.len() / 2));
    frames.write_all(body)?;
    frames.into_inner().map_err(snap::write::IntoInnerError::into_error)
}

fn deflate(level: i32, body: &[u8], bound: fn(&mut Compressor, usize) -> usize, compress: Deflate) -> Vec<u8> {
    DEFLATE.with_borrow_mut(|(all, room)| {
        let new = || Some(Compressor::new(CompressionLvl::new(level).unwrap_or_default()));
        let Some(compressor) = of_level(all, level, new) else { return Vec::new() };
        // The bound is what the library promises to be enough.
        let most = bound(compressor, body.len());
        if room.len() < most {
            room.resize(most, 0);
        }
        let written = compress(compressor, body, room).unwrap_or_default();
        let out = room.get(..written).unwrap_or_default().to_vec();
        if most > KEPT {
            *room = Vec::new();
        }
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
        Encoding::Lz4 => unlz4(sent, limit)?,
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
    // One frame that says how large it is, and does not claim too much, is read in one call.
    if let Ok(Some(claimed)) = zstd::zstd_safe::get_frame_content_size(sent)
        && let Ok(claimed) = usize::try_from(claimed)
        && claimed <= limit.min(sent.len().saturating_mul(ZSTD_BELIEVED))
        && let Some(plain) = UNZSTD.with_borrow_mut(|zstd| zstd.as_mut()?.decompress(sent, claimed).ok())
    {
        return Ok(plain);
    }
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
    unframe(Encoding::SnappyFramed, snap::read::FrameDecoder::new(sent), sent.len(), limit)
}

fn unlz4(sent: &[u8], limit: usize) -> Result<Vec<u8>, CompressionError> {
    // The library takes the end of the input for the end of the frame, so that what is cut off would not be missed.
    let checksum = sent.get(LZ4_FLAGS).map_or(0, |flags| usize::from(flags & LZ4_HAS_CHECKSUM));
    if !sent.get(..sent.len().saturating_sub(checksum)).is_some_and(|frame| frame.ends_with(&LZ4_END)) {
        return Err(malformed(Encoding::Lz4, "cut off"));
    }
    unframe(Encoding::Lz4, FrameDecoder::new(sent), sent.len(), limit)
}

/// What `frames` of `sent` bytes hold.
fn unframe(encoding: Encoding, frames: impl Read, sent: usize, limit: usize) -> Result<Vec<u8>, CompressionError> {
    let mut plain = Vec::with_capacity(sent.saturating_mul(4).min(limit));
    frames.take(limit as u64 + 1).read_to_end(&mut plain).map_err(|error| malformed(encoding, &error.to_string()))?;
    if plain.len() > limit { Err(CompressionError::TooLarge { limit }) } else { Ok(plain) }
}

fn malformed(encoding: Encoding, reason: &str) -> CompressionError {
    CompressionError::Malformed { encoding: encoding.name(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Encoding; 8] = [
        Encoding::Identity,
        Encoding::Gzip,
        Encoding::Deflate,
        Encoding::Zlib,
        Encoding::Zstd,
        Encoding::Snappy,
        Encoding::SnappyFramed,
        Encoding::Lz4,
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
    fn higher_levels_make_less_of_it_and_each_is_read() {
        let body: Vec<u8> = (0..20_000_u32).flat_map(|n| format!("{{span: {}}}", n % 977).into_bytes()).collect();
        for encoding in ALL {
            let Some(levels) = encoding.levels() else { continue };
            let sizes = levels.map(|level| {
                let sent = compress_at(encoding, Some(level), &body);
                assert_eq!(decompress(encoding, &sent, body.len()).unwrap(), body, "{encoding:?} at {level}");
                sent.len()
            });
            let sizes: Vec<usize> = sizes.collect();
            assert!(sizes.last() < sizes.first(), "{encoding:?}: {sizes:?}");
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
