# net-smtp over STARTTLS, all on one connection: PORT LOGIN PASSWORD FILE...
require "net/smtp"
port, login, password, *files = ARGV
context = OpenSSL::SSL::SSLContext.new
context.set_params(ca_file: "ca.pem", verify_mode: OpenSSL::SSL::VERIFY_PEER)
smtp = Net::SMTP.new("localhost", port.to_i)
smtp.enable_starttls(context)
smtp.start("client.test", login, password, :login) do |session|
  files.each_with_index do |file, number|
    session.rset if number % 4 == 3
    session.send_message(File.binread(file), login, "jo@example.net")
  end
end
