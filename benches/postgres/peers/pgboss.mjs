// pg-boss beside us: `node pgboss.mjs URL default|best WORKLOAD TASKS`.
//
// `default` sends, fetches and completes one job a call, ten callers; `best` is insert, fetch and
// complete in batches, without the order by priority, as its documents have it. Its own worker
// polls, at most twice a second: that is what its latency is.
import PgBoss from "pg-boss";
import * as b from "./books.mjs";

const [url, mode, workload, tasks] = process.argv.slice(2);
const count = Number(tasks);
const best = mode === "best";
const env = (name, other) => Number(process.env[name] ?? other);
const QUEUE = "bench";
const PRODUCE = best ? { size: 1_000, lanes: 2 } : { size: 1, lanes: 10 };
const FETCH = best
  ? { size: env("SIZE", 1_000), lanes: env("LANES", 4), options: { priority: false } }
  : { size: 1, lanes: 10, options: {} };

async function produce(boss, from, to) {
  await b.spread(b.pieces(from, to, PRODUCE.size), PRODUCE.lanes, (piece) => {
    if (!best) return boss.send(QUEUE, b.payload(piece[0]));
    return boss.insert(piece.map((number) => ({ name: QUEUE, data: b.payload(number) })));
  });
}

async function consume(boss, books) {
  const lane = async () => {
    while (books.first < books.count) {
      const jobs = await boss.fetch(QUEUE, { batchSize: FETCH.size, ...FETCH.options });
      for (const job of jobs) books.executed(job.data.number);
      if (jobs.length > 0) await boss.complete(QUEUE, jobs.map((job) => job.id));
      else await new Promise((resolve) => setTimeout(resolve, 1));
    }
  };
  const lanes = Array.from({ length: FETCH.lanes }, lane);
  await books.balance();
  await Promise.all(lanes);
}

async function completed(boss) {
  const query = `select count(*)::int as number from pgboss.job
    where name = '${QUEUE}' and state = 'completed'`;
  return (await boss.getDb().executeSql(query)).rows[0].number;
}

async function latency(boss, books) {
  const due = [], late = [];
  const options = { pollingIntervalSeconds: 0.5, batchSize: best ? 1_000 : 1 };
  await boss.work(QUEUE, options, async (jobs) => {
    for (const { data } of jobs) {
      late[data.number] = performance.now() - due[data.number];
      books.executed(data.number);
    }
  });
  await b.open_loop(count, 100, (number, at) => {
    due[number] = at;
    return boss.send(QUEUE, b.payload(number));
  });
  await books.balance();
  await b.until(async () => (await completed(boss)) === count);
  return b.quantiles(late);
}

async function main() {
  const boss = new PgBoss({ connectionString: url, max: 10, schedule: false });
  boss.on("error", (error) => { throw error; });
  await boss.start();
  if (workload === "produce") {
    await b.started();
    await produce(boss, 0, count);
    return boss.stop({ graceful: true, wait: true });
  }
  await boss.createQueue(QUEUE);
  const books = new b.Books(count);
  let figures, began;
  if (workload === "enqueue" || workload === "drain") {
    began = performance.now();
    await produce(boss, 0, count);
    figures = b.rate(count, began);
    began = performance.now();
    await consume(boss, books);
    if (workload === "drain") figures = b.rate(count, began);
  } else if (workload === "lifecycle") {
    const child = await b.producer(process.argv[1], [url, mode, "produce", tasks]);
    began = performance.now();
    await Promise.all([child.go(), consume(boss, books)]);
    figures = b.rate(count, began);
  } else if (workload === "latency") {
    figures = await latency(boss, books);
  } else throw new Error(`no workload ${workload}`);
  const stored = await completed(boss);
  if (stored !== count) throw new Error(`${stored} of ${count} jobs are completed`);
  b.publish(books, figures);
  await boss.stop({ graceful: true, wait: true });
}

await main();
