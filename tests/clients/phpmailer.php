<?php
// PHPMailer with SMTPKeepAlive: PORT LOGIN PASSWORD; three mails on one connection, RSET between them.
require "libphp-phpmailer/autoload.php";
[, $port, $login, $password] = $argv;
$mail = new PHPMailer\PHPMailer\PHPMailer(true);
$mail->isSMTP();
$mail->Host = "localhost";
$mail->Port = (int) $port;
$mail->SMTPSecure = PHPMailer\PHPMailer\PHPMailer::ENCRYPTION_STARTTLS;
$mail->SMTPOptions = ["ssl" => ["cafile" => "ca.pem"]];
$mail->SMTPAuth = true;
$mail->Username = $login;
$mail->Password = $password;
$mail->SMTPKeepAlive = true;
$mail->CharSet = "utf-8";
$mail->setFrom($login);
foreach (["base64", "quoted-printable", "8bit"] as $encoding) {
    $mail->clearAddresses();
    $mail->clearAttachments();
    $mail->addAddress("jo@example.net");
    $mail->Encoding = $encoding;
    $mail->Subject = "Composed by PHPMailer: $encoding";
    $mail->isHTML(true);
    $mail->Body = "<p>Größe <a href=\"https://example.com/a?b=1&amp;c=2\">Look here</a></p>\r\n<p>.</p>";
    $mail->AltBody = "Look: https://example.com/text";
    $mail->addStringAttachment('<a href="https://example.com/attached">x</a>', "page.html");
    $mail->send();
    $mail->getSMTPInstance()->reset();
}
$mail->smtpClose();
