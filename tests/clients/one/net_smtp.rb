# One message by net-smtp over STARTTLS: PORT LOGIN PASSWORD FILE; what it was told, if it failed.
require "net/smtp"
port, login, password, file = ARGV
context = OpenSSL::SSL::SSLContext.new
context.set_params(ca_file: "ca.pem", verify_mode: OpenSSL::SSL::VERIFY_PEER)
smtp = Net::SMTP.new("localhost", port.to_i)
smtp.enable_starttls(context)
begin
  smtp.start("client.test", login, password, :plain) do |session|
    session.send_message(File.binread(file), login, "jo@example.net")
  end
rescue Net::SMTPError => error
  abort "told #{error.message} (#{error.class})"
end
