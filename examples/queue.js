// A job queue with BullMQ: every accepted job is done, whatever happens to the server meanwhile.
//
//     REDIS_URL=redis://127.0.0.1:6379 JOBS=200 node queue.js
//
// Prints a line for each job when it is done, and at the end how many of the accepted ones were done.

import { Queue, Worker } from "bullmq";
import Redis from "ioredis";

const url = process.env.REDIS_URL ?? "redis://127.0.0.1:6379";
const wanted = Number(process.env.JOBS ?? 200);

// Commands wait for the server to come back, however long that takes.
const connect = () => {
  const client = new Redis(url, { maxRetriesPerRequest: null, retryStrategy: () => 50 });
  client.on("error", () => {});
  return client;
};

const queue = new Queue("mail", { connection: connect() });
const accepted = new Set();
const done = new Map();

// A worker whose server died in the middle of a job does not know whether the job counts as done. Its lock then expires,
// and the job is done again: at least once.
const worker = new Worker(
  "mail",
  async (job) => {
    const id = job.data.id;
    done.set(id, (done.get(id) ?? 0) + 1);
    console.log(`done ${id}`);
  },
  { connection: connect(), concurrency: 4, lockDuration: 1000, stalledInterval: 500, maxStalledCount: 1000 },
);
for (const part of [queue, worker]) part.on("error", () => {});

for (let id = 0; id < wanted; id++) {
  // The same id makes it the same job if it has to be sent twice.
  await queue.add("send", { id }, { jobId: `mail-${id}`, removeOnComplete: true });
  accepted.add(id);
}
const missing = () => [...accepted].filter((id) => !done.has(id));
while (missing().length > 0) await new Promise((resolve) => setTimeout(resolve, 50));

const again = [...done.values()].filter((times) => times > 1).length;
console.log(`all ${accepted.size} accepted jobs are done, ${again} of them more than once`);
process.exit(0);
