// As much of PNG (RFC 2083) as Chromium's screenshots and our own pictures of differences need.
import { crc32, deflateSync, inflateSync } from "node:zlib";

const SIGNATURE = Buffer.from("89504e470d0a1a0a", "hex");

// { width, height, pixels }, four octets a pixel.
export function decode(png) {
  let header;
  const data = [];
  for (let at = SIGNATURE.length; at < png.length; ) {
    const length = png.readUInt32BE(at);
    const type = png.toString("latin1", at + 4, at + 8);
    const body = png.subarray(at + 8, at + 8 + length);
    if (type === "IHDR") header = body;
    if (type === "IDAT") data.push(body);
    at += length + 12;
  }
  const [width, height] = [header.readUInt32BE(0), header.readUInt32BE(4)];
  const channels = { 2: 3, 6: 4 }[header[9]];
  if (header[8] !== 8 || !channels || header[12] !== 0) throw new Error("not the kind of PNG Chromium writes");
  return { width, height, pixels: asRgba(unfilter(inflateSync(Buffer.concat(data)), width, height, channels), channels) };
}

function unfilter(rows, width, height, channels) {
  const stride = width * channels;
  const out = Buffer.alloc(stride * height);
  for (let y = 0; y < height; y++) {
    const filter = rows[y * (stride + 1)];
    const line = rows.subarray(y * (stride + 1) + 1, (y + 1) * (stride + 1));
    const start = y * stride;
    for (let x = 0; x < stride; x++) {
      const left = x < channels ? 0 : out[start + x - channels];
      const above = y === 0 ? 0 : out[start + x - stride];
      const corner = x < channels || y === 0 ? 0 : out[start + x - stride - channels];
      out[start + x] = line[x] + predicted(filter, left, above, corner);
    }
  }
  return out;
}

function predicted(filter, left, above, corner) {
  switch (filter) {
    case 0: return 0;
    case 1: return left;
    case 2: return above;
    case 3: return (left + above) >> 1;
    default: {
      const [l, a, c] = [Math.abs(above - corner), Math.abs(left - corner), Math.abs(left + above - 2 * corner)];
      return l <= a && l <= c ? left : a <= c ? above : corner;
    }
  }
}

function asRgba(pixels, channels) {
  if (channels === 4) return pixels;
  const out = Buffer.alloc((pixels.length / 3) * 4, 255);
  for (let from = 0, to = 0; from < pixels.length; from += 3, to += 4) pixels.copy(out, to, from, from + 3);
  return out;
}

export function encode({ width, height, pixels }) {
  const header = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 8, 6, 0, 0, 0]);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  const rows = Buffer.alloc((width * 4 + 1) * height);
  for (let y = 0; y < height; y++) pixels.copy(rows, y * (width * 4 + 1) + 1, y * width * 4, (y + 1) * width * 4);
  return Buffer.concat([SIGNATURE, chunk("IHDR", header), chunk("IDAT", deflateSync(rows)), chunk("IEND", Buffer.alloc(0))]);
}

function chunk(type, body) {
  const named = Buffer.concat([Buffer.from(type, "latin1"), body]);
  const out = Buffer.alloc(body.length + 12);
  out.writeUInt32BE(body.length, 0);
  named.copy(out, 4);
  out.writeUInt32BE(crc32(named), body.length + 8);
  return out;
}

// How many pixels differ, in which box, and a picture: what is the same is pale, what differs is red.
export function compare(one, other) {
  const [width, height] = [Math.max(one.width, other.width), Math.max(one.height, other.height)];
  const picture = Buffer.alloc(width * height * 4, 255);
  const box = { left: width, top: height, right: 0, bottom: 0 };
  let count = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [a, b] = [colour(one, x, y), colour(other, x, y)];
      const to = (y * width + x) * 4;
      if (a === b) {
        for (let c = 0; c < 3; c++) picture[to + c] = 191 + (one.pixels[(y * one.width + x) * 4 + c] >> 2);
        continue;
      }
      count++;
      picture.set([255, 0, 0], to);
      Object.assign(box, {
        left: Math.min(box.left, x), top: Math.min(box.top, y), right: Math.max(box.right, x), bottom: Math.max(box.bottom, y),
      });
    }
  }
  return { count, box, picture: { width, height, pixels: picture } };
}

function colour({ width, height, pixels }, x, y) {
  return x < width && y < height ? pixels.readUInt32LE((y * width + x) * 4) : undefined;
}
