//! What our listeners show: where certificates come from, and how they change while we run.
//!
//! All listeners ask one [`Shown`], which is filled by one keeper: files that are watched, a certificate of
//! our own, or an ACME authority. [`Certificates`] is what `run` sees of it.

mod acme;
mod files;
mod folder;
pub(crate) mod names;
mod pair;
mod plain_door;
mod report;
mod self_signed;
mod shown;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use envelope::Clock;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::watch;

pub(crate) use folder::Folder;
pub(crate) use pair::{Pair, PairError};
pub(crate) use plain_door::PlainDoor;
pub(crate) use report::{Finding, findings};

use crate::config::{Certificate, Config};
use acme::{Keeper, KeptFiles};
use files::WatchedFiles;
use shown::Shown;

/// The certificates of a running program.
pub(crate) struct Certificates {
    shown: Arc<Shown>,
    source: Source,
    mail_host: String,
    tracking_host: String,
}

/// Who sees to it that the certificates stay good.
enum Source {
    Files(WatchedFiles),
    SelfSigned,
    Acme(Box<Keeper>),
    /// Another process of this machine asks the authority; what it puts into the folder is shown.
    Kept(KeptFiles),
}

impl Certificates {
    /// What the configuration says; `None` when nothing here speaks TLS. `tracks`: this process has the doors
    /// that recipients come to, and the authority.
    ///
    /// # Errors
    /// When the files cannot be used, or the folder for what is kept cannot be made.
    pub(crate) fn open(config: &Config, tracks: bool, clock: Arc<dyn Clock>) -> anyhow::Result<Option<Self>> {
        let shown = Arc::new(Shown::default());
        let source = match &config.certificate {
            Certificate::None => return Ok(None),
            Certificate::Files { cert_file, key_file } => {
                let (files, pair) = WatchedFiles::open(cert_file.clone(), key_file.clone(), clock)?;
                shown.show_everywhere(pair.certified());
                Source::Files(files)
            }
            Certificate::SelfSigned => {
                let pair = self_signed::kept(&Folder::of(config), &names::self_signed(config), clock.now())?;
                shown.show_everywhere(pair.certified());
                Source::SelfSigned
            }
            Certificate::Acme(settings) => {
                let names = names::all(config);
                let folder = Folder::of(config);
                folder.make()?;
                // The authority looks where recipients come to. Who serves that asks for every name.
                if tracks {
                    let keeper = Keeper::open(settings.clone(), names, folder, shown.clone(), clock)?;
                    Source::Acme(Box::new(keeper))
                } else {
                    Source::Kept(KeptFiles::open(folder, names, &shown, clock.now())?)
                }
            }
        };
        report::log(config);
        Ok(Some(Self {
            shown,
            source,
            mail_host: config.hostname.to_ascii_lowercase(),
            tracking_host: names::host_of(&config.tracking.base_url),
        }))
    }

    /// For listeners that mail programs connect to.
    pub(crate) fn for_mail(&self) -> anyhow::Result<Arc<ServerConfig>> {
        self.shown.server_config(&self.mail_host, &[]).context("TLS cannot be set up")
    }

    /// For listeners that browsers connect to, and the authority, which proves there that we answer for a name.
    pub(crate) fn for_web(&self) -> anyhow::Result<Arc<ServerConfig>> {
        // Who offers protocols and none of these would be refused; HTTP/1.0 is for the oldest of robots.
        let protocols: &[&[u8]] = &[b"http/1.1", b"http/1.0", acme::TLS_ALPN];
        self.shown.server_config(&self.tracking_host, protocols).context("TLS cannot be set up")
    }

    /// What the authority is told over plain HTTP.
    pub(crate) fn shown(&self) -> Arc<Shown> {
        self.shown.clone()
    }

    /// Keeps the certificates good until `shutdown`.
    pub(crate) async fn keep(self, mut shutdown: watch::Receiver<bool>) {
        let keeping = async {
            match self.source {
                Source::Files(files) => files.watch(&self.shown).await,
                Source::SelfSigned => std::future::pending().await,
                Source::Acme(keeper) => keeper.run().await,
                Source::Kept(files) => files.watch(&self.shown).await,
            }
        };
        tokio::select! {
            () = keeping => {}
            () = async {
                if shutdown.wait_for(|stop| *stop).await.is_err() {
                    std::future::pending::<()>().await;
                }
            } => {}
        }
    }
}

/// Certificates of authorities, or a chain, from a PEM file; at least one.
pub(crate) fn chain_of(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file)
        .with_context(|| format!("cannot read the certificates in {}", file.display()))?
        .collect();
    let chain = chain.with_context(|| format!("a certificate in {} cannot be read", file.display()))?;
    anyhow::ensure!(!chain.is_empty(), "there is no certificate in {}", file.display());
    Ok(chain)
}
