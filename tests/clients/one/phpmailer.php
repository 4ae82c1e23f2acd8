<?php
// One message by PHPMailer over STARTTLS: PORT LOGIN PASSWORD FILE, of which it takes the Subject; what it was told, if it failed.
require "libphp-phpmailer/autoload.php";
[, $port, $login, $password, $file] = $argv;
preg_match('/^Subject: (\S+)/m', file_get_contents($file), $found);
$mail = new PHPMailer\PHPMailer\PHPMailer(false);
$mail->isSMTP();
$mail->Host = "localhost";
$mail->Port = (int) $port;
$mail->SMTPSecure = PHPMailer\PHPMailer\PHPMailer::ENCRYPTION_STARTTLS;
$mail->SMTPOptions = ["ssl" => ["cafile" => "ca.pem"]];
$mail->SMTPAuth = true;
$mail->Username = $login;
$mail->Password = $password;
$mail->setFrom($login);
$mail->addAddress("jo@example.net");
$mail->Subject = $found[1];
$mail->isHTML(true);
$mail->Body = "<p>Hello</p>";
$told = "";
$mail->Debugoutput = function ($line) use (&$told) { $told .= $line . "\n"; };
$mail->SMTPDebug = 2;
if (!$mail->send()) {
    fwrite(STDERR, "told " . $mail->ErrorInfo . "\n" . $told);
    exit(1);
}
