# Net::SMTP over implicit TLS, all on one connection, reset() between mails: PORT LOGIN PASSWORD FILE...
use strict;
use warnings;
use Net::SMTP;
my ($port, $login, $password, @files) = @ARGV;
my $smtp = Net::SMTP->new("localhost", Port => $port, Hello => "client.test", SSL => 1, SSL_ca_file => "ca.pem", Timeout => 30)
  or die "no connection: $@";
$smtp->auth($login, $password) or die "login: " . $smtp->message;
for my $file (@files) {
    open my $in, "<:raw", $file or die "$file: $!";
    my $text = do { local $/; <$in> };
    $text =~ s/\r\n/\n/g;    # Net::SMTP makes CRLF of them
    $smtp->mail($login) or die "$file: MAIL: " . $smtp->message;
    $smtp->to("jo\@example.net") or die "$file: RCPT: " . $smtp->message;
    $smtp->data($text) or die "$file: DATA: " . $smtp->message;
    $smtp->reset or die "$file: RSET: " . $smtp->message;
}
$smtp->quit;
