//! Files as the data folder packs them: zstd, and tar where there are several.

use std::{collections::BTreeMap, fs::File, io::Read as _, path::Path};

/// No set of data unpacks to more.
const MOST_BYTES: u64 = 256 << 20;
const BLOCK: usize = 512;

/// The content of a packed file.
pub fn unpack(path: &Path) -> Result<Vec<u8>, String> {
    let problem = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let decoder = zstd::stream::read::Decoder::new(File::open(path).map_err(problem)?).map_err(problem)?;
    let mut content = Vec::new();
    decoder.take(MOST_BYTES).read_to_end(&mut content).map_err(problem)?;
    Ok(content)
}

/// The content of a packed text.
pub fn unpack_text(path: &Path) -> Result<String, String> {
    String::from_utf8(unpack(path)?).map_err(|_| format!("{} is not text", path.display()))
}

/// The files of a packed tar archive, by name. Long names and links are not needed and not read.
pub fn files(path: &Path) -> Result<BTreeMap<String, String>, String> {
    let content = unpack(path)?;
    let mut files = BTreeMap::new();
    let mut rest = content.as_slice();
    while let Some((header, after)) = rest.split_first_chunk::<BLOCK>() {
        let name = until_nul(header.get(..100).unwrap_or_default());
        if name.is_empty() {
            break;
        }
        let size = usize::from_str_radix(until_nul(header.get(124..136).unwrap_or_default()).trim(), 8).unwrap_or(0);
        let Some(file) = after.get(..size) else { return Err(format!("{} ends too early", path.display())) };
        if matches!(header.get(156), Some(b'0' | 0)) {
            let name = name.trim_start_matches("./").to_owned();
            files.insert(name, String::from_utf8_lossy(file).into_owned());
        }
        rest = after.get(size.next_multiple_of(BLOCK)..).unwrap_or_default();
    }
    Ok(files)
}

fn until_nul(bytes: &[u8]) -> &str {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    std::str::from_utf8(bytes.get(..end).unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, content: &str) -> Vec<u8> {
        let mut block = vec![0; BLOCK];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        block[156] = b'0';
        block.extend(content.as_bytes());
        block.resize(block.len().next_multiple_of(BLOCK), 0);
        block
    }

    #[test]
    fn an_archive_gives_its_files() {
        let mut tar = entry("./one.txt", "first");
        tar.extend(entry("two/three.csv", &"x".repeat(700)));
        tar.extend([0; 2 * BLOCK]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.tar.zst");
        std::fs::write(&path, zstd::encode_all(tar.as_slice(), 1).unwrap()).unwrap();
        let files = files(&path).unwrap();
        assert_eq!(files["one.txt"], "first");
        assert_eq!(files["two/three.csv"].len(), 700);
        std::fs::write(&path, b"no archive").unwrap();
        assert!(super::files(&path).is_err());
    }
}
