/// An HTML mail of about `octets`, quoted-printable, with a link a kilobyte.
pub(crate) fn html_mail(octets: usize) -> Vec<u8> {
    let mut mail = b"From: Ana <ana@example.com>\r\nTo: jo@example.net\r\nSubject: Offer\r\n\
        Message-ID: <bench@example.com>\r\nMIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\r\n<html><body>\r\n"
        .to_vec();
    let mut number = 0;
    while mail.len() + 40 < octets {
        number += 1;
        mail.extend_from_slice(
            format!(
                "<p><a href=3D\"https://example.org/page?no=3D{number}&amp;x=3D1\">page {number}</a></p>\r\n"
            )
            .as_bytes(),
        );
        for _ in 0..13 {
            if mail.len() + 110 < octets {
                mail.extend_from_slice(
                    b"<p style=3D\"color: #333\">Words for the reader, gr=C3=BC=C3=9Fe und mehr.</p>\r\n",
                );
            }
        }
    }
    mail.extend_from_slice(b"</body></html>\r\n");
    mail
}
