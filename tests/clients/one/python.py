# One message by Python's smtplib over implicit TLS: PORT LOGIN PASSWORD FILE; what it was told, if it failed.
import smtplib, ssl, sys
port, login, password, file = sys.argv[1:]
context = ssl.create_default_context(cafile="ca.pem")
try:
    with smtplib.SMTP_SSL("localhost", int(port), local_hostname="client.test", context=context, timeout=30) as smtp:
        smtp.login(login, password)
        smtp.sendmail(login, ["jo@example.net"], open(file, "rb").read())
except smtplib.SMTPRecipientsRefused as refused:
    sys.exit("told %s %s" % refused.recipients["jo@example.net"])
except smtplib.SMTPResponseException as error:
    sys.exit("told %s %s" % (error.smtp_code, error.smtp_error))
