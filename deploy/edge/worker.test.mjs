// `node --test deploy/edge/worker.test.mjs`: the worker signs, draws and sends on as the process expects it.

import assert from "node:assert";
import { test } from "node:test";

import worker, { destination, drawClickId, sign } from "./worker.mjs";

const NOW = 1790000000000;
const LINK = {
  link_id: "00000000-0000-0000-0000-000000000003",
  url: "https://t.example/click?campaign_id=41&p1=__CLICK_ID__",
  domain: null,
};

// The example of docs/api.md, which ingest/src/signature.rs holds as well.
test("a signature is as documented", async () => {
  const signature = await sign("an example secret", NOW, "p1=7&status=approved", "");
  const hex = "f8487058d8c777d2e112c9520db7234410cfad4e6708840fe87ca44b3b184bd1";
  assert.equal(signature, `t=1790000000,v1=${hex}`);
});

test("a number holds its time, and is from the edges' half", () => {
  const id = drawClickId(NOW);
  assert.equal((id >> 22n) + 1577836800000n, BigInt(NOW));
  assert.equal((id >> 21n) & 1n, 1n);
  assert.ok(id < 1n << 63n);
});

test("a query is kept but for what names publisher or click", () => {
  const query = new URLSearchParams("utm_source=insta&P1=evil&p10=x&pub_id=9&campaign_id=9&u=me");
  const expected = "https://t.example/click?campaign_id=41&p1=7&utm_source=insta";
  assert.equal(destination(LINK.url, "7", query), expected);
});

// Runs the worker over a table with these links, and tells what it answered and sent.
async function visit(target, links, method = "GET") {
  const sent = [];
  const waiting = [];
  const before = globalThis.fetch;
  globalThis.fetch = async (to, options) => {
    sent.push({ to: to.url ?? to, ...options });
    return new Response("the origin's");
  };
  const env = {
    ORIGIN: "https://hissaback.app",
    EDGE_SECRET: "an example secret",
    LINKS: { get: async (slug) => links[slug] && JSON.stringify(links[slug]) },
  };
  const context = { waitUntil: (promise) => waiting.push(promise) };
  try {
    const answer = await worker.fetch(new Request(target, { method }), env, context);
    await Promise.all(waiting);
    return { answer, sent };
  } finally {
    globalThis.fetch = before;
  }
}

test("a shopper is sent on, and the origin told", async () => {
  const { answer, sent } = await visit("https://hissaback.app/r/diwali?a=1", { diwali: LINK });
  assert.equal(answer.status, 302);
  const told = JSON.parse(sent[0].body);
  assert.equal(sent[0].to, "https://hissaback.app/v1/edge/clicks");
  assert.match(sent[0].headers["X-Hissaback-Signature"], /^t=\d+,v1=[0-9a-f]{64}$/);
  assert.equal(told.link_id, LINK.link_id);
  const location = `https://t.example/click?campaign_id=41&p1=${told.click_id}&a=1`;
  assert.equal(answer.headers.get("Location"), location);
});

test("dead links are gone, others' links unknown, new ones the origin's", async () => {
  const links = { ended: { ...LINK, url: null }, own: { ...LINK, domain: "shop.example" } };
  const status = async (target) => (await visit(target, links)).answer.status;
  assert.equal(await status("https://hissaback.app/r/ended"), 410);
  assert.equal(await status("https://shop.example/r/own"), 302);
  assert.equal(await status("https://shop.example/r/ended"), 404);
  const { answer, sent } = await visit("https://hissaback.app/r/new", links);
  assert.equal(await answer.text(), "the origin's");
  assert.equal(sent[0].to, "https://hissaback.app/r/new");
});

test("asking where a link leads makes no click", async () => {
  const { answer, sent } = await visit("https://hissaback.app/r/x", { x: LINK }, "HEAD");
  assert.equal(answer.status, 302);
  assert.deepEqual(sent, []);
});
