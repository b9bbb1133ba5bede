// Sessions of a web application with ioredis: whoever has signed in stays signed in.
//
//     REDIS_URL=redis://127.0.0.1:6379 node sessions.js
//
// Prints a line for each visitor, and at the end what became of the sessions.

import { randomUUID } from "node:crypto";
import Redis from "ioredis";

const url = process.env.REDIS_URL ?? "redis://127.0.0.1:6379";
const visitors = Number(process.env.VISITORS ?? 200);
const lifetime = 3600;
const redis = new Redis(url, { maxRetriesPerRequest: null, retryStrategy: () => 50 });
redis.on("error", () => {});

// A session is a hash that expires; MULTI sets its fields and its expire time in one step.
async function begin(user) {
  const key = `session:${randomUUID()}`;
  const session = { user, cart: "", since: String(Date.now()) };
  for (;;) {
    try {
      await redis.multi().hset(key, session).expire(key, lifetime).exec();
      return key;
    } catch {
      // The server died in between. Sending it again changes nothing.
    }
  }
}

const sessions = new Map();
for (let i = 0; i < visitors; i++) {
  const user = `user-${i}`;
  const key = await begin(user);
  await redis.hset(key, "cart", `book-${i}`);
  sessions.set(user, key);
  console.log(`in ${user}`);
}

for (const [user, key] of sessions) {
  const session = await redis.hgetall(key);
  const left = await redis.ttl(key);
  const number = user.slice("user-".length);
  if (session.user !== user || session.cart !== `book-${number}`) {
    throw new Error(`${key} of ${user} is ${JSON.stringify(session)}`);
  }
  if (left <= 0 || left > lifetime) throw new Error(`${key} expires in ${left} seconds`);
}
console.log(`all ${sessions.size} sessions are there, with their carts and times`);
redis.disconnect();
