// A redirect at the edge, for Cloudflare Workers: docs/edge.md says how it is set up. It answers from
// the link table in the key-value store `LINKS`, and tells the origin of the click afterwards.

const EPOCH_MILLIS = 1577836800000n; // 2020-01-01, which ids count from
const EDGE_BIT = 1n << 21n; // the half of the ids that edges draw
// What means something to the network, or to us: as ingest/src/destination.rs has it.
const RESERVED =
  /^(u|click_id|campaign_id|offer_id|pub_id|source|gaid|idfa|goal_id|txn_id|payout|sale_amount|status|security_token|p\d+|sub\d+)$/;

// 41 bits of milliseconds, the edges' bit, and 21 bits at random.
export function drawClickId(nowMillis) {
  const random = crypto.getRandomValues(new Uint32Array(1))[0] & (2 ** 21 - 1);
  return ((BigInt(nowMillis) - EPOCH_MILLIS) << 22n) | EDGE_BIT | BigInt(random);
}

// The header of a signed request; see docs/api.md.
export async function sign(secret, nowMillis, query, body) {
  const at = Math.floor(nowMillis / 1000);
  const bytes = (text) => new TextEncoder().encode(text);
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", bytes(secret), algorithm, false, ["sign"]);
  const signed = await crypto.subtle.sign("HMAC", key, bytes(`${at}\n${query}\n${body}`));
  const hex = [...new Uint8Array(signed)].map((byte) => byte.toString(16).padStart(2, "0"));
  return `t=${at},v1=${hex.join("")}`;
}

// The merchant's address with the click in it, and what of the shopper's query is passed on.
export function destination(url, clickId, query) {
  const location = new URL(url.replaceAll("__CLICK_ID__", clickId));
  const own = new Set([...location.searchParams.keys()].map((name) => name.toLowerCase()));
  for (const [name, value] of query) {
    const known = name.trim().toLowerCase();
    if (!own.has(known) && !RESERVED.test(known)) location.searchParams.append(name, value);
  }
  return location.href;
}

async function tell(env, click) {
  const body = JSON.stringify(click);
  for (const pauseMillis of [0, 1000, 5000]) {
    await new Promise((resolve) => setTimeout(resolve, pauseMillis));
    const signature = await sign(env.EDGE_SECRET, Date.now(), "", body);
    const headers = { "Content-Type": "application/json", "X-Hissaback-Signature": signature };
    const sent = fetch(`${env.ORIGIN}/v1/edge/clicks`, { method: "POST", headers, body });
    const status = await sent.then((answer) => answer.status, () => 503);
    if (status < 500) return status;
  }
  return 503;
}

// The table, as often as the worker's cron trigger says.
async function refresh(env) {
  const signature = await sign(env.EDGE_SECRET, Date.now(), "", "");
  const headers = { "X-Hissaback-Signature": signature };
  const answer = await fetch(`${env.ORIGIN}/v1/edge/links`, { headers });
  if (!answer.ok) throw new Error(`the link table: ${answer.status}`);
  for (const { key, value } of await answer.json()) {
    if ((await env.LINKS.get(key)) !== value) await env.LINKS.put(key, value);
  }
}

export default {
  async fetch(request, env, context) {
    const url = new URL(request.url);
    const slug = /^\/r\/([A-Za-z0-9_-]{1,64})$/.exec(url.pathname)?.[1];
    const stored = slug && (await env.LINKS.get(slug, { cacheTtl: 60 }));
    // What the table doesn't know yet, the origin may; and it takes every other request.
    if (!stored) return fetch(request);
    const link = JSON.parse(stored);
    const platform = new URL(env.ORIGIN).hostname;
    if (url.hostname !== platform && url.hostname !== link.domain) {
      return new Response("There is no such link.", { status: 404 });
    }
    if (!link.url) return new Response("This link isn't available any more.", { status: 410 });
    const clickId = drawClickId(Date.now()).toString();
    const location = destination(link.url, clickId, url.searchParams);
    const answer = new Response(null, {
      status: 302,
      headers: { Location: location, "Cache-Control": "no-store" },
    });
    if (request.method !== "GET") return answer;
    const user = url.searchParams.get("u");
    const click = {
      click_id: clickId,
      link_id: link.link_id,
      user_id: /^[0-9a-f-]{36}$/i.test(user ?? "") ? user : null,
      address: request.headers.get("CF-Connecting-IP"),
      country: request.headers.get("CF-IPCountry"),
      user_agent: request.headers.get("User-Agent"),
      referrer: request.headers.get("Referer"),
    };
    context.waitUntil(tell(env, click));
    return answer;
  },

  scheduled(_event, env, context) {
    context.waitUntil(refresh(env));
  },
};
