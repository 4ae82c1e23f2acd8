use std::io;
use std::net::IpAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::upstream::Proxy;

const VERSION: u8 = 5;
const NO_LOGIN: u8 = 0;
const NAME_AND_PASSWORD: u8 = 2;

/// Asks the proxy at the other end of `tcp` for a connection with `host`, by name: the proxy resolves it.
///
/// # Errors
/// What the proxy says, in words. No error holds the proxy's password.
///
/// Source: RFC 1928, RFC 1929.
pub(crate) async fn connect(tcp: &mut TcpStream, proxy: &Proxy, host: &str, port: u16) -> io::Result<()> {
    let methods: &[u8] = if proxy.login.is_some() { &[NO_LOGIN, NAME_AND_PASSWORD] } else { &[NO_LOGIN] };
    tcp.write_all(&[&[VERSION, length(methods)?], methods].concat()).await?;
    let [version, method] = octets(tcp).await?;
    must_be_socks(version)?;
    match (method, &proxy.login) {
        (NO_LOGIN, _) => {}
        (NAME_AND_PASSWORD, Some((name, password))) => {
            let (name, password) = (name.as_bytes(), password.expose().as_bytes());
            let login = [&[1, length(name)?], name, &[length(password)?], password].concat();
            tcp.write_all(&login).await?;
            let [_, status] = octets(tcp).await?;
            if status != 0 {
                return Err(refusal("it refused our name and password"));
            }
        }
        (_, None) => return Err(refusal("it wants a name and a password")),
        (_, Some(_)) => return Err(refusal("it wants another kind of login")),
    }

    let mut request = vec![VERSION, 1, 0];
    match host.parse() {
        Ok(IpAddr::V4(address)) => request.extend([&[1][..], &address.octets()].concat()),
        Ok(IpAddr::V6(address)) => request.extend([&[4][..], &address.octets()].concat()),
        Err(_) => request.extend([&[3, length(host.as_bytes())?], host.as_bytes()].concat()),
    }
    request.extend(port.to_be_bytes());
    tcp.write_all(&request).await?;
    let [version, status, _, kind] = octets(tcp).await?;
    must_be_socks(version)?;
    if status != 0 {
        return Err(refusal(reason(status)));
    }
    // Where it connected from: of no use, and to be read to its end.
    let rest = match kind {
        1 => 4,
        4 => 16,
        3 => usize::from(tcp.read_u8().await?),
        _ => return Err(refusal("its answer is not SOCKS5")),
    };
    let mut bound = [0; 255 + 2];
    tcp.read_exact(&mut bound[..rest + 2]).await?;
    Ok(())
}

async fn octets<const N: usize>(tcp: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut octets = [0; N];
    tcp.read_exact(&mut octets).await?;
    Ok(octets)
}

fn length(octets: &[u8]) -> io::Result<u8> {
    u8::try_from(octets.len()).map_err(|_| refusal("a name or password is longer than SOCKS5 can carry"))
}

fn must_be_socks(version: u8) -> io::Result<()> {
    if version == VERSION { Ok(()) } else { Err(refusal("its answer is not SOCKS5")) }
}

/// RFC 1928 §6.
fn reason(status: u8) -> &'static str {
    match status {
        1 => "it failed",
        2 => "its rules do not allow that connection",
        3 => "it cannot reach the network",
        4 => "it cannot reach or resolve the host",
        5 => "the host refused its connection",
        6 => "the time to live expired",
        7 => "it knows no CONNECT",
        8 => "it does not know such addresses",
        _ => "it refused without a reason",
    }
}

fn refusal(why: &'static str) -> io::Error {
    io::Error::other(why)
}
