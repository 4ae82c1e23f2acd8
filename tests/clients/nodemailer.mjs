// nodemailer with a pool of two connections: PORT LOGIN PASSWORD FILE... ; ca.pem in this folder's caller.
import { readFileSync } from "node:fs";
import nodemailer from "nodemailer";

const [port, login, password, ...files] = process.argv.slice(2);
const transport = nodemailer.createTransport({
  host: "localhost",
  port: Number(port),
  secure: true,
  pool: true,
  maxConnections: 2,
  maxMessages: 7,
  name: "client.test",
  auth: { user: login, pass: password },
  tls: { ca: readFileSync("ca.pem") },
});
await Promise.all(
  files.map((file) =>
    transport.sendMail({
      envelope: { from: login, to: ["jo@example.net"] },
      raw: readFileSync(file),
    }),
  ),
);
// One that nodemailer composes itself.
await transport.sendMail({
  from: login,
  to: "jo@example.net",
  subject: "Composed by nodemailer: Grüße",
  text: "Look: https://example.com/text\n",
  html: '<p>Größe <a href="https://example.com/a?b=1&amp;c=2">Look here</a></p><p>.</p>',
  attachments: [{ filename: "page.html", content: '<a href="https://example.com/attached">x</a>' }],
});
transport.close();
