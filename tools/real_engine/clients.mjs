// What OpenAI's client for Node gets: a line of JSON for each thing asked.
// Usage: clients.mjs FOLDER-OF-THE-CLIENT http://HOST:PORT/v1 MODEL MORE

import { createRequire } from "node:module";

const [folder, baseURL, model, more] = process.argv.slice(2);
const OpenAI = createRequire(`${folder}/`)("openai");
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0, timeout: 120_000 });

const chat = (given) =>
  client.chat.completions.create({
    model, max_tokens: 12, temperature: 0, ...JSON.parse(more),
    messages: [{ role: "user", content: "How deep is the lake? Wie tief? 湖の深さは?" }], ...given,
  });
const complete = (given) =>
  client.completions.create({
    model, prompt: "The lake is", max_tokens: 12, temperature: 0, ...JSON.parse(more), ...given,
  });
const all = async (stream) => {
  const chunks = [];
  for await (const chunk of await stream) chunks.push(chunk);
  return chunks;
};

const cases = {
  "chat": () => chat({}),
  "chat, stop": () => chat({ stop: ["e", "a", "o", "i"], max_tokens: 40 }),
  "chat, n": () => chat({ n: 2, temperature: 1, seed: 7 }),
  "chat streamed": () => all(chat({ stream: true })),
  "chat streamed, usage": () => all(chat({ stream: true, stream_options: { include_usage: true } })),
  "completion": () => complete({}),
  "completion, several prompts": () => complete({ prompt: ["The lake is", "The dam is"] }),
  "completion streamed": () => all(complete({ stream: true })),
  "error: messages": () => chat({ messages: [{ role: "nobody", content: 5 }] }),
  "error: a prompt too long": () => complete({ prompt: "The lake is deep and cold. ".repeat(2000) }),
};

const own = new Set(["id", "created", "system_fingerprint", "timings"]);
for (const [name, ask] of Object.entries(cases)) {
  let seen;
  try {
    seen = await ask();
  } catch (error) {
    seen = `${error.constructor.name} ${error.status}: ${error.error?.message ?? error.message}`;
  }
  const text = JSON.stringify(seen, (key, value) => (own.has(key) ? undefined : value));
  console.log(JSON.stringify({ name, seen: text }));
}
