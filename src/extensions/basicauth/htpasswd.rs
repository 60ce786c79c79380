//! The lines of an htpasswd file, and whether a password is right.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::super::same;

/// Hashes computed at once: strangers must not keep the processors busy.
const AT_ONCE: usize = 2;
/// Who waits longer than this for a hash is sent away.
const PATIENCE: Duration = Duration::from_secs(5);
/// The costliest hash that is computed, a second or so.
const MAX_COST: u32 = 14;
/// Verified for names that are not there, so that they take as long as those that are. (It is of no password.)
const NOBODY: &str = "$2y$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy";

/// Those who may come in.
pub struct Users {
    by_name: HashMap<String, User>,
    hashing: Arc<Semaphore>,
    /// Whether any password is hashed.
    hashes: bool,
}

struct User {
    secret: String,
    /// Digest of the password that was right last.
    right: Mutex<Option<[u8; 32]>>,
}

impl Users {
    /// Reads `name:password` lines; later ones win. Empty lines and those that begin with `#` say nothing.
    pub fn read<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut by_name = HashMap::new();
        for text in texts {
            for (number, line) in text.lines().map(str::trim).enumerate() {
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                let wrong = |what: &str| format!("line {}: {what}", number + 1);
                let (name, secret) = line.split_once(':').ok_or_else(|| wrong("is not of the form name:password"))?;
                check(secret).map_err(|reason| wrong(&reason))?;
                by_name.insert(name.to_owned(), User { secret: secret.to_owned(), right: Mutex::default() });
            }
        }
        let hashes = by_name.values().any(|user| is_bcrypt(&user.secret));
        Ok(Self { by_name, hashing: Arc::new(Semaphore::new(AT_ONCE)), hashes })
    }

    /// Whether `password` is that of `name`.
    pub async fn know(&self, name: &str, password: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(password.as_bytes()).into();
        let Some(user) = self.by_name.get(name) else {
            if self.hashes {
                self.verify(password, NOBODY).await;
            }
            return false;
        };
        if !is_bcrypt(&user.secret) {
            return same(&digest, &Sha256::digest(user.secret.as_bytes()));
        }
        let remembered = *user.right.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.is_some_and(|right| same(&right, &digest)) {
            return true;
        }
        let right = self.verify(password, &user.secret).await;
        if right {
            *user.right.lock().unwrap_or_else(PoisonError::into_inner) = Some(digest);
        }
        right
    }

    async fn verify(&self, password: &str, hash: &str) -> bool {
        let Ok(Ok(permit)) = tokio::time::timeout(PATIENCE, self.hashing.clone().acquire_owned()).await else {
            return false;
        };
        let (password, hash) = (password.to_owned(), hash.to_owned());
        let verified = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            bcrypt::verify(password, &hash).unwrap_or(false)
        });
        verified.await.unwrap_or(false)
    }
}

fn is_bcrypt(secret: &str) -> bool {
    ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|prefix| secret.starts_with(prefix))
}

/// Whether a password is in a form we read. What cannot be told from a plain password is one.
fn check(secret: &str) -> Result<(), String> {
    const ADVICE: &str = "use bcrypt: `htpasswd -nB name`";
    if secret.is_empty() {
        return Err("the password is empty".to_owned());
    }
    if is_bcrypt(secret) {
        let cost = secret.get(4..6).and_then(|cost| cost.parse::<u32>().ok());
        return match cost {
            Some(cost) if cost > MAX_COST => Err(format!("a bcrypt cost of {cost} is more than {MAX_COST}")),
            Some(_) if secret.len() == 60 => Ok(()),
            _ => Err("is not a whole bcrypt hash".to_owned()),
        };
    }
    let others = [("$apr1$", "MD5"), ("$1$", "MD5"), ("{SHA}", "SHA-1"), ("{SSHA}", "salted SHA-1")];
    let crypts = [("$5$", "SHA-256 crypt"), ("$6$", "SHA-512 crypt")];
    match others.into_iter().chain(crypts).find(|(prefix, _)| secret.starts_with(prefix)) {
        Some((prefix, name)) => Err(format!("hashes of the form `{prefix}` ({name}) are not supported; {ADVICE}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_and_passwords_are_known_or_not() {
        let hashed = bcrypt::hash("right", 4).unwrap();
        let from_apache = hashed.replacen("$2b$", "$2y$", 1);
        let text = format!("# people\nann:{hashed}\nben:{from_apache}\n\nplain:secret:with:colons\n");
        let users = Users::read([text.as_str(), "ann2:one\nann2:two"]).unwrap();
        let table = [
            ("ann", "right", true),
            ("ann", "wrong", false),
            ("ben", "right", true),
            ("plain", "secret:with:colons", true),
            ("plain", "secret", false),
            ("ann2", "one", false),
            ("ann2", "two", true),
            ("nobody", "right", false),
            ("", "", false),
        ];
        for _ in 0..2 {
            for (name, password, known) in table {
                assert_eq!(users.know(name, password).await, known, "{name} {password}");
            }
        }
        assert!(users.by_name["ann"].right.lock().unwrap().is_some(), "a right password is hashed once");
    }

    #[test]
    fn what_is_not_read_is_refused_by_name() {
        let table = [
            ("name", "name:password"),
            ("a:", "empty"),
            ("a:$apr1$x$y", "MD5"),
            ("a:{SHA}xxx", "SHA-1"),
            ("a:$6$x$y", "SHA-512"),
            ("a:$2y$20$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "cost of 20"),
            ("a:$2y$10$short", "whole"),
        ];
        for (line, said) in table {
            let wrong = Users::read(["ok:fine\n", line]).err().unwrap();
            assert!(wrong.starts_with("line 1") && wrong.contains(said), "{line}: {wrong}");
        }
    }
}
