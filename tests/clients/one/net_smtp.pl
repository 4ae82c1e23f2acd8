# One message by Net::SMTP over implicit TLS: PORT LOGIN PASSWORD FILE; what it was told, if it failed.
use strict;
use warnings;
use Net::SMTP;
my ($port, $login, $password, $file) = @ARGV;
my $smtp = Net::SMTP->new("localhost", Port => $port, Hello => "client.test", SSL => 1, SSL_ca_file => "ca.pem", Timeout => 30)
  or die "no connection: $@";
sub told { print STDERR "told " . $smtp->code . " " . $smtp->message; exit 1 }
$smtp->auth($login, $password) or told;
open my $in, "<:raw", $file or die "$file: $!";
my $text = do { local $/; <$in> };
$text =~ s/\r\n/\n/g;    # Net::SMTP makes CRLF of them
$smtp->mail($login) or told;
$smtp->to("jo\@example.net") or told;
$smtp->data($text) or told;
$smtp->quit;
