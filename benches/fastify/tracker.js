// A tracker as many would write it: each hit is inserted into SQLite, synchronous FULL, before the answer.
// Arguments: the database's path. Prints its port; ends when its standard input does.
import Fastify from "fastify";
import Database from "better-sqlite3";

const database = new Database(process.argv[2]);
database.pragma("journal_mode = WAL");
database.pragma("synchronous = FULL");
database.exec(`
  CREATE TABLE hit (
    id INTEGER PRIMARY KEY, token TEXT NOT NULL, kind TEXT NOT NULL, at INTEGER NOT NULL, ip TEXT, agent TEXT
  );
  CREATE INDEX hit_by_token ON hit (token);
`);
const insert = database.prepare("INSERT INTO hit (token, kind, at, ip, agent) VALUES (?, ?, ?, ?, ?)");
const record = (request, kind) =>
  insert.run(request.params.token, kind, Date.now(), request.ip, request.headers["user-agent"]);

const GIF = Buffer.from("R0lGODlhAQABAIAAAP///wAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==", "base64");
const app = Fastify({ logger: false });
app.get("/o/:token", (request, reply) => {
  record(request, "open");
  reply.header("Cache-Control", "no-store").type("image/gif").send(GIF);
});
app.get("/c/:token", (request, reply) => {
  record(request, "click");
  reply.header("Cache-Control", "no-store").redirect("https://example.com/page?a=1", 302);
});
const address = await app.listen({ host: "127.0.0.1", port: 0 });
console.log(new URL(address).host);
process.stdin.on("end", () => process.exit(0)).resume();
