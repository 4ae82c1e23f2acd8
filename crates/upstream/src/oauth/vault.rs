use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use envelope::{Secret, Timestamp};
use serde::{Deserialize, Serialize};

use super::OAuthError;

/// Sign-ins on disk: a file for each upstream and mailbox, its tokens sealed with AES-256-GCM, for the
/// owner's eyes only, replaced as a whole.
#[derive(Clone)]
pub struct Vault {
    folder: PathBuf,
    /// The first seals, all open.
    keys: Vec<[u8; 32]>,
}

/// What everybody may know of a sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// The operator's name for the upstream.
    pub upstream: String,
    /// The mailbox.
    pub address: String,
    /// When a person last signed in.
    pub signed_in: Timestamp,
    /// Until when the access token lasts; it is renewed before.
    pub access_expires: Timestamp,
    /// Until when it can be renewed without a person, where the provider says so.
    pub refresh_expires: Option<Timestamp>,
    /// What the last try to renew it came to, if not to a token.
    pub trouble: Option<String>,
}

/// What nobody may.
#[derive(Clone)]
pub(crate) struct Sealed {
    pub(crate) access: Secret,
    pub(crate) refresh: Secret,
}

#[derive(Serialize, Deserialize)]
struct FileForm {
    upstream: String,
    address: String,
    signed_in: i64,
    access_expires: i64,
    refresh_expires: Option<i64>,
    trouble: Option<String>,
    nonce: String,
    sealed: String,
}

#[derive(Serialize, Deserialize)]
struct TokensForm {
    access: String,
    refresh: String,
}

const MAX_FILE_OCTETS: u64 = 256 * 1024;

impl Vault {
    /// Files in `folder`, which need not exist yet. The first of `keys` seals, each opens.
    pub fn new(folder: impl Into<PathBuf>, keys: Vec<[u8; 32]>) -> Self {
        Self { folder: folder.into(), keys }
    }

    /// Every sign-in there is a file of, sorted; damaged files are left out.
    ///
    /// # Errors
    /// When the folder cannot be read; that it does not exist is no error.
    pub fn list(&self) -> io::Result<Vec<SignIn>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            entries => entries?,
        };
        let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
        let mut found: Vec<SignIn> =
            files.filter_map(|path| Some(read(&path).ok().flatten()?.sign_in())).collect();
        found.sort_by(|one, other| (&one.upstream, &one.address).cmp(&(&other.upstream, &other.address)));
        Ok(found)
    }

    pub(crate) fn load(&self, upstream: &str, address: &str) -> Result<(SignIn, Sealed), OAuthError> {
        let address = address.to_ascii_lowercase();
        let path = self.path(upstream, &address);
        let form = read(&path).map_err(|source| OAuthError::File { source })?;
        let form = form.ok_or_else(|| OAuthError::NotSignedIn { address: address.clone() })?;
        let sealed = self.open(&form, upstream, &address).ok_or(OAuthError::Sealed { address })?;
        Ok((form.sign_in(), sealed))
    }

    pub(crate) fn save(&self, sign_in: &SignIn, tokens: &Sealed) -> Result<(), OAuthError> {
        let address = sign_in.address.to_ascii_lowercase();
        let tokens_form =
            TokensForm { access: tokens.access.expose().into(), refresh: tokens.refresh.expose().into() };
        let written = self.seal(&tokens_form, &sign_in.upstream, &address).and_then(|(nonce, sealed)| {
            let form = FileForm {
                upstream: sign_in.upstream.clone(),
                address: address.clone(),
                signed_in: sign_in.signed_in.unix_millis(),
                access_expires: sign_in.access_expires.unix_millis(),
                refresh_expires: sign_in.refresh_expires.map(Timestamp::unix_millis),
                trouble: sign_in.trouble.clone(),
                nonce,
                sealed,
            };
            let text = serde_json::to_vec_pretty(&form)?;
            replace(&self.folder, &self.path(&sign_in.upstream, &address), &text)
        });
        written.map_err(|source| OAuthError::File { source })
    }

    fn seal(&self, tokens: &TokensForm, upstream: &str, address: &str) -> io::Result<(String, String)> {
        let key = self.keys.first().ok_or_else(|| io::Error::other("there is no key to seal with"))?;
        let failed = |_| io::Error::other("the tokens could not be sealed");
        let mut octets = serde_json::to_vec(tokens)?;
        let nonce = RandomizedNonceKey::new(&AES_256_GCM, key)
            .and_then(|key| key.seal_in_place_append_tag(bound_to(upstream, address), &mut octets))
            .map_err(failed)?;
        Ok((STANDARD.encode(nonce.as_ref()), STANDARD.encode(octets)))
    }

    fn open(&self, form: &FileForm, upstream: &str, address: &str) -> Option<Sealed> {
        let nonce = STANDARD.decode(&form.nonce).ok()?;
        let sealed = STANDARD.decode(&form.sealed).ok()?;
        self.keys.iter().find_map(|key| {
            let key = RandomizedNonceKey::new(&AES_256_GCM, key).ok()?;
            let nonce = Nonce::try_assume_unique_for_key(&nonce).ok()?;
            let mut octets = sealed.clone();
            let opened = key.open_in_place(nonce, bound_to(upstream, address), &mut octets).ok()?;
            let tokens: TokensForm = serde_json::from_slice(opened).ok()?;
            Some(Sealed { access: Secret::new(tokens.access), refresh: Secret::new(tokens.refresh) })
        })
    }

    /// Readable for the operator, and never a way out of the folder.
    fn path(&self, upstream: &str, address: &str) -> PathBuf {
        let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"@-_+".contains(&octet);
        let name: String = format!("{upstream} {address}")
            .bytes()
            .map(|octet| match octet {
                b' ' => "_".to_owned(),
                b'.' => ".".to_owned(),
                octet if plain(octet) && octet != b'_' => char::from(octet).to_string(),
                octet => format!("%{octet:02X}"),
            })
            .collect();
        self.folder.join(format!("{name}.json"))
    }
}

/// A file put in the place of another's does not open.
fn bound_to(upstream: &str, address: &str) -> Aad<Vec<u8>> {
    Aad::from(format!("waxseal sign-in\0{upstream}\0{address}").into_bytes())
}

impl FileForm {
    fn sign_in(&self) -> SignIn {
        SignIn {
            upstream: self.upstream.clone(),
            address: self.address.clone(),
            signed_in: Timestamp::from_unix_millis(self.signed_in),
            access_expires: Timestamp::from_unix_millis(self.access_expires),
            refresh_expires: self.refresh_expires.map(Timestamp::from_unix_millis),
            trouble: self.trouble.clone(),
        }
    }
}

/// `None`: there is no such file.
fn read(path: &Path) -> io::Result<Option<FileForm>> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Ok(found) if found.len() > MAX_FILE_OCTETS => return Err(io::ErrorKind::FileTooLarge.into()),
        found => found?,
    };
    Ok(Some(serde_json::from_slice(&fs::read(path)?)?))
}

/// Whole or not at all, for the owner's eyes only.
fn replace(folder: &Path, path: &Path, octets: &[u8]) -> io::Result<()> {
    static DRAFTS: AtomicU64 = AtomicU64::new(0);
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let number = DRAFTS.fetch_add(1, Ordering::Relaxed);
    let draft = folder.join(format!(".new-{}-{number}", std::process::id()));
    let _ = fs::remove_file(&draft);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(octets)?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn ana(upstream: &str, address: &str) -> SignIn {
        SignIn {
            upstream: upstream.into(),
            address: address.into(),
            signed_in: Timestamp::from_unix_millis(1),
            access_expires: Timestamp::from_unix_millis(2),
            refresh_expires: Some(Timestamp::from_unix_millis(3)),
            trouble: None,
        }
    }

    #[test]
    fn sealed_kept_private_and_bound_to_its_mailbox() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("oauth");
        let vault = Vault::new(&place, vec![[1; 32]]);
        assert_eq!(vault.list().unwrap(), []);
        assert!(matches!(vault.load("google", "ana@x.test"), Err(OAuthError::NotSignedIn { .. })));
        let tokens = Sealed { access: Secret::new("ya29.access"), refresh: Secret::new("1//refresh") };
        for (upstream, address) in
            [("google", "Ana@x.test"), ("google", "../../etc/x@y"), ("a_b", "c"), ("a", "b_c")]
        {
            vault.save(&ana(upstream, address), &tokens).unwrap();
            let (sign_in, sealed) = vault.load(upstream, address).unwrap();
            assert_eq!(sign_in, ana(upstream, &address.to_ascii_lowercase()));
            assert_eq!((sealed.access.expose(), sealed.refresh.expose()), ("ya29.access", "1//refresh"));
        }
        assert_eq!(vault.list().unwrap().len(), 4, "each has a file of its own, in the folder");
        assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o700);
        for file in fs::read_dir(&place).unwrap() {
            let path = file.unwrap().path();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            let text = fs::read_to_string(&path).unwrap();
            assert!(!text.contains("ya29") && !text.contains("refresh\""), "{text}");
        }

        // Another key, another's file, a damaged one.
        let other = Vault::new(&place, vec![[2; 32]]);
        assert!(matches!(other.load("google", "ana@x.test"), Err(OAuthError::Sealed { .. })));
        assert!(Vault::new(&place, vec![[2; 32], [1; 32]]).load("google", "ana@x.test").is_ok());
        let (from, to) = (vault.path("google", "ana@x.test"), vault.path("google", "jo@x.test"));
        fs::copy(&from, &to).unwrap();
        assert!(matches!(vault.load("google", "jo@x.test"), Err(OAuthError::Sealed { .. })));
        fs::write(&from, "{").unwrap();
        assert!(matches!(vault.load("google", "ana@x.test"), Err(OAuthError::File { .. })));
        assert_eq!(vault.list().unwrap().len(), 4);
    }
}
