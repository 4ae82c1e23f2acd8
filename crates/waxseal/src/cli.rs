use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use envelope::RelayId;

/// The command line. Data goes to stdout, talk to stderr.
#[derive(Debug, Parser)]
#[command(
    name = "waxseal",
    version,
    about = "An SMTP relay that adds a read pixel and tracked links to the mail you choose,\nand shows you what was opened and clicked."
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Shows the whole way of a mail on this computer; nothing to set up
    Demo(DemoArgs),
    /// Runs the relay and the tracking endpoint in the foreground
    Run(RunArgs),
    /// Finds every mistake in a configuration file; changes nothing
    Check(CheckArgs),
    /// Shows what would be changed in a message, and why not more
    Preview(PreviewArgs),
    /// Lists messages, newest first
    Messages(MessagesArgs),
    /// Lists opens and clicks
    Events(EventsArgs),
    /// Reads bounces and complaints: RFC 3464, RFC 5965, and what qmail, Exim and Exchange write
    Ingest(IngestArgs),
    /// Says of one open or click who it was, and why; or of many, from a file
    Verdict(Box<VerdictArgs>),
    /// Shows and renews the lists by which people are told from machines
    #[command(subcommand)]
    Intel(IntelCommand),
    /// Looks at mail that waits for its provider, and changes what becomes of it
    #[command(subcommand)]
    Queue(QueueCommand),
    /// Adds and lists people who may send
    #[command(subcommand)]
    Sender(SenderCommand),
    /// Makes, lists and removes tokens for the API
    #[command(subcommand)]
    Token(TokenCommand),
    /// Tests, lists and signs in at the providers mail goes out to
    #[command(subcommand)]
    Upstream(UpstreamCommand),
    /// Lists, rotates and moves the keys that links are signed with
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Stops a message's links: they lead to a page that says so
    Revoke(RevokeArgs),
    /// Deletes what is over its time (privacy.keep_…); `run` does it every day
    Purge(PurgeArgs),
    /// Deletes what a recipient did, and takes the address out of everything
    Forget(ForgetArgs),
    /// Prints everything that is stored about an address, as JSON
    Export(ExportArgs),
    /// Lists and changes who is to get no mail, of one sender or of all
    #[command(subcommand)]
    Suppress(SuppressCommand),
}

/// `waxseal demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Do not open a browser
    #[arg(long)]
    pub(crate) no_open: bool,
    /// Keep the store and the keys in this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
    /// Send, open and click by itself, print what happened, and end
    #[arg(long)]
    pub(crate) script: bool,
}

/// `waxseal run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// Run only this part; the others are another process's
    #[arg(long, value_name = "PART")]
    pub(crate) only: Option<Part>,
    /// With --only track: redirect with the keys alone, and record nothing
    #[arg(long)]
    pub(crate) without_store: bool,
}

/// A part of `waxseal run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Where mail comes in and goes out
    Relay,
    /// Where recipients' clicks and pixels land
    Track,
}

/// `waxseal suppress`.
#[derive(Debug, Subcommand)]
pub(crate) enum SuppressCommand {
    /// Lists the addresses, and why
    List(SuppressListArgs),
    /// Puts an address on the list
    Add(SuppressAddArgs),
    /// Takes an address off the list
    Remove(SuppressRemoveArgs),
    /// Puts the addresses of a file on the list: one a line, perhaps with ",sender" and ",reason"
    Import(SuppressImportArgs),
}

/// Why an address is on the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Why {
    /// The recipient unsubscribed
    Unsubscribed,
    /// Mail to it came back for good
    Bounced,
    /// The recipient reported mail as spam
    Complaint,
    /// The operator says so
    ByHand,
}

/// `waxseal suppress list`.
#[derive(Debug, Args)]
pub(crate) struct SuppressListArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// Only those for this sender alone
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) sender: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// `waxseal suppress add`.
#[derive(Debug, Args)]
pub(crate) struct SuppressAddArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// The address that is to get no mail
    pub(crate) address: String,
    /// Only of this sender; of anybody here if not given
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) sender: Option<String>,
    /// Why
    #[arg(long, value_enum, default_value = "by-hand")]
    pub(crate) reason: Why,
}

/// `waxseal suppress remove`.
#[derive(Debug, Args)]
pub(crate) struct SuppressRemoveArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// The address
    pub(crate) address: String,
    /// From the list of this sender; from the one for all if not given
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) sender: Option<String>,
}

/// `waxseal suppress import`.
#[derive(Debug, Args)]
pub(crate) struct SuppressImportArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// The file; `-` reads standard input
    #[arg(value_name = "FILE")]
    pub(crate) from: PathBuf,
    /// For lines without a sender: only of this one; of anybody here if not given
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) sender: Option<String>,
    /// For lines without a reason
    #[arg(long, value_enum, default_value = "by-hand")]
    pub(crate) reason: Why,
}

/// `waxseal revoke`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct RevokeArgs {
    #[command(subcommand)]
    pub(crate) command: Option<RevokeCommand>,
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// The message's id, or one of its tracked links
    #[arg(required = true)]
    pub(crate) message: Option<String>,
    /// Only this link of it, by its number
    #[arg(long, value_name = "NUMBER")]
    pub(crate) link: Option<u16>,
    /// Only in this recipient's copy, by number or address
    #[arg(long, value_name = "WHO")]
    pub(crate) recipient: Option<String>,
    /// Take it back: the links work again
    #[arg(long)]
    pub(crate) undo: bool,
}

/// `waxseal revoke list`.
#[derive(Debug, Subcommand)]
pub(crate) enum RevokeCommand {
    /// Lists what is revoked, newest first
    List(RevokeListArgs),
}

/// `waxseal revoke list`.
#[derive(Debug, Args)]
pub(crate) struct RevokeListArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// `waxseal keys`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Lists the keys, without their secrets
    List(KeysListArgs),
    /// Makes a new key that signs from the next start on; the others go on opening old links
    Rotate(KeysRotateArgs),
    /// Prints the keys, or writes them to a file: for another node or a backup. They are secret
    Export(KeysExportArgs),
    /// Adds the keys of another node or a backup; never loses or doubles one
    Import(KeysImportArgs),
}

/// `waxseal keys list`.
#[derive(Debug, Args)]
pub(crate) struct KeysListArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// `waxseal keys rotate`.
#[derive(Debug, Args)]
pub(crate) struct KeysRotateArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// Only make the key: it opens and does not sign, until every node has it
    #[arg(long, conflicts_with = "to")]
    pub(crate) prepare: bool,
    /// Sign with this key, which is there already
    #[arg(long, value_name = "ID")]
    pub(crate) to: Option<String>,
    /// Do nothing while the key that signs is younger than this
    #[arg(long, value_name = "DAYS", conflicts_with_all = ["to", "prepare"])]
    pub(crate) if_older_than: Option<u32>,
}

/// `waxseal keys export`.
#[derive(Debug, Args)]
pub(crate) struct KeysExportArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// A file that is not there yet; standard output if not given
    #[arg(value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
    /// Print them on a terminal too
    #[arg(long)]
    pub(crate) yes: bool,
}

/// `waxseal keys import`.
#[derive(Debug, Args)]
pub(crate) struct KeysImportArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// What `export` wrote, or another node's key file; `-` reads standard input
    #[arg(value_name = "FILE")]
    pub(crate) from: PathBuf,
}

/// Where the configuration is.
#[derive(Debug, Args)]
pub(crate) struct ConfigArg {
    /// The configuration file
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "WAXSEAL_CONFIG",
        default_value = "/etc/waxseal/waxseal.toml"
    )]
    pub(crate) config: PathBuf,
}

/// `waxseal check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// Print the mistakes as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Print nothing when all is well
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// The file is for `waxseal run --only PART`
    #[arg(long, value_name = "PART")]
    pub(crate) only: Option<Part>,
}

/// `waxseal preview`.
#[derive(Debug, Args)]
pub(crate) struct PreviewArgs {
    /// The message, as a mail program saves it; `-` reads standard input
    #[arg(value_name = "MAIL.EML")]
    pub(crate) message: PathBuf,
    /// Print the difference and the reasons instead of the rewritten message
    #[arg(long)]
    pub(crate) diff: bool,
    /// What to track when the message's own header field does not say: opens, links, none
    #[arg(long, value_name = "CHOICE", default_value = "opens, links")]
    pub(crate) track: String,
    /// Where tracked links point
    #[arg(long, value_name = "URL", default_value = "https://t.example.com")]
    pub(crate) base_url: String,
    /// Wrap bare links of the text part too
    #[arg(long)]
    pub(crate) plain_text: bool,
    /// Print the decisions as JSON
    #[arg(long, conflicts_with = "diff")]
    pub(crate) json: bool,
}

/// `waxseal purge`.
#[derive(Debug, Args)]
pub(crate) struct PurgeArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// Only say what would be deleted
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `waxseal forget`.
#[derive(Debug, Args)]
pub(crate) struct ForgetArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// The recipient's address
    pub(crate) address: String,
    /// Only say what would be touched
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `waxseal export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// The address
    pub(crate) address: String,
    /// JSON is the only form there is
    #[arg(long, hide = true)]
    pub(crate) json: bool,
}

/// `waxseal messages`.
#[derive(Debug, Args)]
pub(crate) struct MessagesArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// Only this sender's
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) sender: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) limit: u32,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// `waxseal events`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct EventsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<EventsCommand>,
    #[command(flatten)]
    pub(crate) list: EventsListArgs,
}

/// What can be done with events, beside looking at them.
#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// Judges opens and clicks again by the present rules, as far as what they are judged by was kept
    Reclassify(ReclassifyArgs),
    /// Says who an open or a click was; it stands above the rules
    Correct(CorrectArgs),
}

/// `waxseal events`, the list.
#[derive(Debug, Args)]
pub(crate) struct EventsListArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// Go on printing what comes
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// How many at most, before following
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) limit: u32,
    /// Only those of this message
    #[arg(long, value_name = "ID", conflicts_with = "follow")]
    pub(crate) message: Option<RelayId>,
    /// Say each reason in a sentence, and what was thought before
    #[arg(short, long, conflicts_with = "json")]
    pub(crate) verbose: bool,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// `waxseal token …`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Makes a token and prints it, once
    Add(TokenAddArgs),
    /// Lists tokens, not their secrets
    List(TokenListArgs),
    /// Takes a token back
    Remove(TokenRemoveArgs),
}

/// `waxseal token add`.
#[derive(Debug, Args)]
pub(crate) struct TokenAddArgs {
    /// Whose it is: a sender's address
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: String,
    /// What it is for, in your words
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: String,
    /// What may be done with it: read, correct, feedback, everyone (the same for every sender's mail)
    #[arg(long, value_name = "SCOPE", required = true, value_delimiter = ',')]
    pub(crate) scope: Vec<String>,
    /// After so many days it ends
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub(crate) days: Option<u32>,
    #[command(flatten)]
    pub(crate) config: ConfigArg,
}

/// `waxseal token list`.
#[derive(Debug, Args)]
pub(crate) struct TokenListArgs {
    /// Only this sender's
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) config: ConfigArg,
}

/// `waxseal token remove`.
#[derive(Debug, Args)]
pub(crate) struct TokenRemoveArgs {
    /// Its name, as `waxseal token list` shows it
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) config: ConfigArg,
}

/// `waxseal events reclassify`.
#[derive(Debug, Args)]
pub(crate) struct ReclassifyArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// Print what would change, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Only what happened since: a date, a moment, or so long ago (2026-11-01, 2026-11-01T08:00:00Z, 7d)
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<String>,
    /// Only opens and clicks of this message
    #[arg(long, value_name = "ID")]
    pub(crate) message: Option<RelayId>,
    /// Print each change, not the counts only
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Print one JSON object: how many were judged, and how many changed from what to what
    #[arg(long)]
    pub(crate) json: bool,
}

/// `waxseal events correct`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("who").required(true).args(["me", "person", "machine"]))]
pub(crate) struct CorrectArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// The event's id, as `waxseal events --verbose` prints it
    #[arg(value_name = "EVENT")]
    pub(crate) event: RelayId,
    /// This was me
    #[arg(long)]
    pub(crate) me: bool,
    /// This was a person
    #[arg(long)]
    pub(crate) person: bool,
    /// This was a machine
    #[arg(long)]
    pub(crate) machine: bool,
}

/// `waxseal ingest`.
#[derive(Debug, Args)]
pub(crate) struct IngestArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// The reports, one a file; without any, one on standard input
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Read what is new in this Maildir; what was taken moves to its folder "cur"
    #[arg(long, value_name = "DIR", conflicts_with = "files")]
    pub(crate) maildir: Option<PathBuf>,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// `waxseal upstream`.
#[derive(Debug, Subcommand)]
pub(crate) enum UpstreamCommand {
    /// Connects and logs in, and prints what it saw step by step; sends nothing
    Test(UpstreamTestArgs),
    /// Lists the upstreams, and who has signed in where tokens are used
    List(UpstreamListArgs),
    /// Signs in for a mailbox with a browser; for upstreams with auth = "xoauth2"
    Login(UpstreamLoginArgs),
}

/// `waxseal upstream test`.
#[derive(Debug, Args)]
pub(crate) struct UpstreamTestArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// The upstream's name in the configuration file
    pub(crate) name: String,
    /// Log in as this address: with its sign-in (xoauth2), or a password from the prompt or standard input (pass-through)
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) login: Option<String>,
    /// One JSON object a step
    #[arg(long)]
    pub(crate) json: bool,
}

/// `waxseal upstream list`.
#[derive(Debug, Args)]
pub(crate) struct UpstreamListArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// One JSON object an upstream
    #[arg(long)]
    pub(crate) json: bool,
}

/// `waxseal upstream login`.
#[derive(Debug, Args)]
pub(crate) struct UpstreamLoginArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// The upstream's name in the configuration file
    pub(crate) name: String,
    /// The mailbox
    pub(crate) address: String,
    /// The port of this machine that the browser comes back to, for a tunnel; any free one if not set
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub(crate) port: u16,
    /// How many seconds to wait for the browser
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) wait: u64,
}

/// `waxseal sender`.
#[derive(Debug, Subcommand)]
pub(crate) enum SenderCommand {
    /// Adds a sender; the password comes from the prompt or standard input
    Add(SenderAddArgs),
    /// Lists the senders of the store and of the configuration file
    List(SenderListArgs),
    /// Sets a sender's password
    Passwd(SenderArgs),
    /// Makes, lists and removes passwords for single programs
    #[command(subcommand)]
    AppPassword(AppPasswordCommand),
    /// Prints the hash of a password, for `password_hash` in the configuration file
    Hash,
}

/// `waxseal sender app-password`.
#[derive(Debug, Subcommand)]
pub(crate) enum AppPasswordCommand {
    /// Makes a password for one program and prints it, this once
    Add(AppPasswordAddArgs),
    /// Lists a sender's app passwords, without the passwords
    List(AppPasswordListArgs),
    /// Removes one: it is right no longer
    Remove(AppPasswordRemoveArgs),
}

/// `waxseal sender app-password add`.
#[derive(Debug, Args)]
pub(crate) struct AppPasswordAddArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// The sender's address
    pub(crate) address: String,
    /// What to call it: the program or the device
    #[arg(long)]
    pub(crate) label: Option<String>,
}

/// `waxseal sender app-password list`.
#[derive(Debug, Args)]
pub(crate) struct AppPasswordListArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// The sender's address
    pub(crate) address: String,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// `waxseal sender app-password remove`.
#[derive(Debug, Args)]
pub(crate) struct AppPasswordRemoveArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// The sender's address
    pub(crate) address: String,
    /// What `list` calls it
    pub(crate) label: String,
}

/// `waxseal sender add`.
#[derive(Debug, Args)]
pub(crate) struct SenderAddArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// The sender's address, which is also the login
    pub(crate) address: String,
    /// Another address of the sender's own
    #[arg(long = "alias", value_name = "ADDRESS")]
    pub(crate) aliases: Vec<String>,
}

/// `waxseal sender passwd`.
#[derive(Debug, Args)]
pub(crate) struct SenderArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// The sender's address
    pub(crate) address: String,
}

/// `waxseal sender list`.
#[derive(Debug, Args)]
pub(crate) struct SenderListArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// `waxseal queue`.
#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// Lists the messages in the queue, oldest first
    List(QueueListArgs),
    /// Shows one message: its recipients, what the provider said, when it is tried again
    Show(QueueShowArgs),
    /// Tries a message again at once
    Retry(QueueArgs),
    /// Tries a message no more until it is released
    Hold(QueueArgs),
    /// Takes a hold away
    Release(QueueArgs),
    /// Deletes a message for good; nobody is told
    Delete(QueueDeleteArgs),
    /// Puts a message that was set aside, or the file of one, back into the queue
    Restore(QueueRestoreArgs),
    /// Tries everything that waits at once
    Flush(ConfigArg),
}

/// `waxseal queue list`.
#[derive(Debug, Args)]
pub(crate) struct QueueListArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// Only this sender's
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) sender: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// `waxseal queue retry`, `hold`, `release`.
#[derive(Debug, Args)]
pub(crate) struct QueueArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// The message's id, or the last eight digits of it
    pub(crate) id: String,
}

/// `waxseal queue show`.
#[derive(Debug, Args)]
pub(crate) struct QueueShowArgs {
    #[command(flatten)]
    pub(crate) message: QueueArgs,
    /// Print it as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Print what is handed on, header and body, and nothing else
    #[arg(long, conflicts_with = "json")]
    pub(crate) content: bool,
}

/// `waxseal queue restore`.
#[derive(Debug, Args)]
pub(crate) struct QueueRestoreArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// The message's id, or the last eight digits of it; or a file that `queue list` names
    #[arg(value_name = "ID|FILE")]
    pub(crate) what: String,
    /// Of a file: whose message it is, and who hears of failures
    #[arg(long, value_name = "ADDRESS", requires = "to")]
    pub(crate) from: Option<String>,
    /// Of a file: whom it is for; once for each
    #[arg(long, value_name = "ADDRESS", requires = "from")]
    pub(crate) to: Vec<String>,
    /// Of a file: the upstream it goes to; needed when there are several
    #[arg(long, value_name = "NAME", requires = "from")]
    pub(crate) upstream: Option<String>,
}

/// `waxseal queue delete`.
#[derive(Debug, Args)]
pub(crate) struct QueueDeleteArgs {
    #[command(flatten)]
    pub(crate) message: QueueArgs,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

/// `waxseal verdict`.
#[derive(Debug, Args)]
pub(crate) struct VerdictArgs {
    /// The configuration file whose rules to use; if not set, that of the system if there is one, else the built-in rules
    #[arg(short, long, value_name = "FILE", env = "WAXSEAL_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Judge by these rules
    #[arg(long, value_name = "FILE")]
    pub(crate) rules: Option<PathBuf>,
    /// Take lists of networks and crawlers from this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) lists: Option<PathBuf>,
    /// Judge every line of this file, a JSON object each; `-` reads standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kind", "ua", "ip", "asn", "headers", "method", "after", "context", "json"])]
    pub(crate) jsonl: Option<PathBuf>,
    /// open | click
    #[arg(long, value_parser = kind, required_unless_present = "jsonl")]
    pub(crate) kind: Option<::verdict::Kind>,
    /// The User-Agent field; without it there was none
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) ua: Option<String>,
    /// The client's address
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) ip: Option<std::net::IpAddr>,
    /// The number of the AS the address belongs to
    #[arg(long, value_name = "NUMBER", value_parser = asn)]
    pub(crate) asn: Option<u32>,
    /// A header field of the request, 'Name: value'; with one, those that are missing count too
    #[arg(long = "header", value_name = "FIELD")]
    pub(crate) headers: Vec<String>,
    /// The method of the request
    #[arg(long, default_value = "GET")]
    pub(crate) method: String,
    /// How long after the provider took the mail: 41s, 3m, 2h; -1s is before
    #[arg(long, value_name = "DURATION", value_parser = seconds, allow_hyphen_values = true)]
    pub(crate) after: Option<f64>,
    /// What else is known, for example links_in_message=4
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) context: Vec<String>,
    /// Print it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn kind(text: &str) -> Result<::verdict::Kind, String> {
    ::verdict::Kind::from_code(&text.to_ascii_lowercase()).ok_or_else(|| "it is open or click".to_owned())
}

fn asn(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("AS").or_else(|| text.strip_prefix("as")).unwrap_or(text);
    digits.parse().map_err(|_| "write the number alone: 15169".to_owned())
}

/// `41s`, `1.5m`, `-1s`.
fn seconds(text: &str) -> Result<f64, String> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && !"+-.".contains(c)).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let number: f64 = number.parse().map_err(|_| "write a number and its unit: 41s".to_owned())?;
    let factor = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        "" => return Err(format!("write it with its unit: {text}s")),
        _ => return Err("the units are ms, s, m, h and d".to_owned()),
    };
    Ok(number * factor)
}

/// `waxseal intel`.
#[derive(Debug, Subcommand)]
pub(crate) enum IntelCommand {
    /// Lists the lists in use, with their dates and where they came from
    List(IntelListArgs),
    /// Takes newer lists from a folder, once they are seen to be whole; fetches nothing
    Update(IntelUpdateArgs),
    /// Prints the built-in rules, to start rules of your own from
    Rules,
}

/// `waxseal intel list`.
#[derive(Debug, Args)]
pub(crate) struct IntelListArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// `waxseal intel update`.
#[derive(Debug, Args)]
pub(crate) struct IntelUpdateArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// The folder with the new lists
    #[arg(long, value_name = "DIR")]
    pub(crate) from: PathBuf,
    /// Write them into this folder instead of the configured one
    #[arg(long, value_name = "DIR")]
    pub(crate) to: Option<PathBuf>,
    /// The date of lists that do not say theirs, instead of that of their files
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = date)]
    pub(crate) date: Option<String>,
    /// Take them although something speaks against it
    #[arg(long)]
    pub(crate) force: bool,
    /// Only say what would change
    #[arg(long)]
    pub(crate) dry_run: bool,
}

fn date(text: &str) -> Result<String, String> {
    let date: jiff::civil::Date = text.parse().map_err(|_| "write it like this: 2026-11-25".to_owned())?;
    Ok(date.to_string())
}
