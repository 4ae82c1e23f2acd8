// One message by nodemailer over implicit TLS: PORT LOGIN PASSWORD FILE; what it was told, if it failed.
import { readFileSync } from "node:fs";
import nodemailer from "nodemailer";

const [port, login, password, file] = process.argv.slice(2);
const transport = nodemailer.createTransport({
  host: "localhost",
  port: Number(port),
  secure: true,
  name: "client.test",
  auth: { user: login, pass: password },
  tls: { ca: readFileSync("ca.pem") },
});
try {
  await transport.sendMail({ envelope: { from: login, to: ["jo@example.net"] }, raw: readFileSync(file) });
} catch (error) {
  console.error(`told ${error.response} (${error.code})`);
  process.exitCode = 1;
}
