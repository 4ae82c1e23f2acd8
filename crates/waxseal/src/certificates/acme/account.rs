use instant_acme::{Account, AccountCredentials, NewAccount};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::failure::{Concerns, Failure};
use super::transport::Transport;
use crate::certificates::Folder;
use crate::config::AcmeConfig;

/// Our account with the authority, as it is kept: `account-….json`, one a directory.
#[derive(Serialize, Deserialize)]
struct Kept {
    directory: String,
    email: String,
    credentials: AccountCredentials,
}

/// The account that is kept; else a new one, which is kept before anything is done with it.
///
/// Whoever configures ACME agrees to the authority's terms: it cannot be had without.
pub(super) async fn account(
    acme: &AcmeConfig,
    folder: &Folder,
    transport: &Transport,
) -> Result<Account, Failure> {
    let failed = |error: &instant_acme::Error| {
        let failure = Failure::new(error, &transport.answered(), "", acme.challenge);
        // Whatever it is, it is so for every name.
        match failure.concerns {
            Concerns::Name => Failure { concerns: Concerns::Authority, ..failure },
            _ => failure,
        }
    };
    let builder = || Account::builder_with_http(Box::new(transport.clone()));
    let contact = format!("mailto:{}", acme.email);
    let file = file(&acme.directory);
    let unreadable = |why: String| Failure::here(why, Concerns::Authority);
    let octets = folder.read(&file).map_err(|error| {
        unreadable(format!("the account in {} cannot be read: {error}", folder.path(&file).display()))
    })?;
    // One that is damaged is worth no more than a new one: nothing but rate limits hangs on it.
    let kept = octets.and_then(|octets| serde_json::from_slice::<Kept>(&octets).ok());
    if let Some(kept) = kept.filter(|kept| kept.directory == acme.directory) {
        let credentials = copy(&kept.credentials)?;
        let account = builder().from_credentials(credentials).await.map_err(|error| failed(&error))?;
        if kept.email != acme.email {
            account.update_contacts(&[&contact]).await.map_err(|error| failed(&error))?;
            keep(folder, &file, acme, kept.credentials)?;
        }
        return Ok(account);
    }
    let wanted =
        NewAccount { contact: &[&contact], terms_of_service_agreed: true, only_return_existing: false };
    let (account, credentials) =
        builder().create(&wanted, acme.directory.clone(), None).await.map_err(|error| failed(&error))?;
    keep(folder, &file, acme, credentials)?;
    tracing::info!(directory = acme.directory, email = acme.email, "made an account with the authority");
    Ok(account)
}

/// The authority does not know it any more.
pub(super) fn forget(acme: &AcmeConfig, folder: &Folder) {
    let file = file(&acme.directory);
    if let Err(error) = folder.remove(&file) {
        tracing::error!(%error, file = %folder.path(&file).display(), "an account that is gone cannot be removed here");
    }
}

fn keep(
    folder: &Folder,
    file: &str,
    acme: &AcmeConfig,
    credentials: AccountCredentials,
) -> Result<(), Failure> {
    let kept = Kept { directory: acme.directory.clone(), email: acme.email.clone(), credentials };
    let written = serde_json::to_vec_pretty(&kept)
        .map_err(std::io::Error::from)
        .and_then(|text| folder.write(file, &text));
    written.map_err(|error| {
        let why = format!("the account cannot be kept in {}: {error}", folder.path(file).display());
        Failure::here(why, Concerns::Authority)
    })
}

fn copy(credentials: &AccountCredentials) -> Result<AccountCredentials, Failure> {
    let copied = serde_json::to_value(credentials).and_then(serde_json::from_value);
    copied.map_err(|error| Failure::here(format!("the account cannot be read: {error}"), Concerns::Authority))
}

fn file(directory: &str) -> String {
    let digest: String =
        Sha256::digest(directory).iter().take(8).map(|octet| format!("{octet:02x}")).collect();
    format!("account-{digest}.json")
}
